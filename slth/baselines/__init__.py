"""Baselines: trained and pruned networks, masks found by training, and the training loop that they share."""
