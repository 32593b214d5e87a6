"""How the page of the rivals writes: figures, prose and tables."""

from __future__ import annotations

import textwrap
from typing import Any


def has_means(rows: dict[str, Any]) -> bool:
    """Whether the record has mean times beside the quantiles."""
    return all("mean" in row["text_ms"] for row in rows.values())


def spread(told: dict[str, float]) -> str:
    """The mean of accuracies with the least and the most."""
    return f"{told['mean']:.4f} ({told['least']:.4f}–{told['most']:.4f})"


def short(ratio: float) -> str:
    """A ratio with the digits that it deserves."""
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def prose(text: str) -> str:
    """A paragraph in lines."""
    return textwrap.fill(text, 140, break_long_words=False, break_on_hyphens=False)


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """A table whose first column is names and whose others are figures."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
