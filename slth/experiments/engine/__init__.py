"""The engine of studies: specs, points, workers, the store of rows, tables and reports."""
