"""The search for a ticket: subset-sum instances spread over the cores."""
