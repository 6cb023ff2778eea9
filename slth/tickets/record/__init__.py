"""The record of a ticket: what was found, as pure data, and what is measured on it."""
