"""Training-based tickets, which strong tickets are compared with: masks, scores, gates, one training loop."""
