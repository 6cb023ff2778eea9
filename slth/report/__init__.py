"""Reports: self-contained HTML pages of text, figures, and the numbers behind them in tables that sort."""

from __future__ import annotations

from slth.report.page import Section, png, write_report

__all__ = ["Section", "png", "write_report"]
