"""Tickets: find them, verify them, certify them, evaluate them, save and load them, turn them into networks."""

from slth.tickets.certify.certificate import AgreementCertificate, NetworkCertificate
from slth.tickets.certify.certify import certified_agreement, certify_network
from slth.tickets.checks.evaluate import Score, evaluate
from slth.tickets.checks.verification import Verification
from slth.tickets.files.file import load_ticket
from slth.tickets.search.find import find_ticket
from slth.tickets.ticket import LayerReport, Ticket

__all__ = [
    "AgreementCertificate",
    "LayerReport",
    "NetworkCertificate",
    "Score",
    "Ticket",
    "Verification",
    "certified_agreement",
    "certify_network",
    "evaluate",
    "find_ticket",
    "load_ticket",
]
