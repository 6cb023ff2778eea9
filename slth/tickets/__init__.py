"""Tickets: finding, verifying, certifying and evaluating them, saving and loading them, running them as networks."""

from slth.tickets.certify.agreement import certified_agreement
from slth.tickets.certify.certificate import AgreementCertificate, NetworkCertificate
from slth.tickets.certify.network import certify_network
from slth.tickets.checks.evaluate import Score, evaluate
from slth.tickets.checks.verification import Verification
from slth.tickets.record.record import LayerReport
from slth.tickets.ticket import Ticket, find_ticket, load_ticket

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
