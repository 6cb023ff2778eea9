"""Tickets: find them, verify them, evaluate them, save and load them, turn them into networks."""

from slth.tickets.evaluate import Score, evaluate
from slth.tickets.file import load_ticket
from slth.tickets.find import find_ticket
from slth.tickets.ticket import LayerReport, Ticket
from slth.tickets.verification import Verification

__all__ = ["LayerReport", "Score", "Ticket", "Verification", "evaluate", "find_ticket", "load_ticket"]
