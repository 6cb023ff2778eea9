"""Statistics of measured rows: intervals, spreads, growth laws, published figures."""
