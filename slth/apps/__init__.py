"""Complete programs on top of the library: the demo, the installation check, published experiments."""
