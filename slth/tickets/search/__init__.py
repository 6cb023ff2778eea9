"""The search for a ticket: it solves one subset-sum instance for each input channel, sign and part."""
