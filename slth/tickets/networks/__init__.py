"""A ticket as a network: compact, explicit, or written for other programs."""
