"""The studies that come with slth. Each has a module; some have a second one for their tables and figures."""
