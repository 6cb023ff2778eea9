"""The command line: each module reads options, calls the library and prints."""
