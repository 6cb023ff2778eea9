"""Tickets: find them, verify them, certify them, evaluate them, save and load them, turn them into networks."""

from slth.tickets.certificates.certificate import AgreementCertificate, NetworkCertificate
from slth.tickets.certificates.certify import certified_agreement, certify_network
from slth.tickets.evaluate import Score, evaluate
from slth.tickets.file import load_ticket
from slth.tickets.find import find_ticket
from slth.tickets.ticket import LayerReport, Ticket
from slth.tickets.verification import Verification

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
