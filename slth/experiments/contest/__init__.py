"""The contest: every method that gives a ticket, behind one signature, on the same images, measured alike."""
