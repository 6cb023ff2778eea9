"""The studies that come with slth: one module a study, its tables and figures apart."""
