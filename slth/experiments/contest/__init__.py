"""The contest: every method that gives a ticket, behind one signature."""
