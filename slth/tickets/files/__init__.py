"""The ``.slth`` file, its code and its card."""
