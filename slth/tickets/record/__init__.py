"""The record of a ticket: what the search found, as pure data, and what can be measured on it."""
