"""README's tables are those that the benchmarks' results give."""

from __future__ import annotations

from benchmarks.readme import README, TABLES, with_tables


def test_readme_holds_the_tables_that_the_results_give() -> None:
    """After a benchmark: python -m benchmarks.readme."""
    text = README.read_text(encoding="utf-8")
    assert all(f"<!-- table: {name} -->" in text for name in TABLES)
    assert with_tables(text) == text
