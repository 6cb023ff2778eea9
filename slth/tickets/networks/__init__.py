"""A ticket as a network: compact, explicit, folded, or exported for other programs."""
