"""The ``.slth`` file of a ticket, the code of its kept channels, and the card beside it."""
