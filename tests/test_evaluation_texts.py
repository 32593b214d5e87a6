"""The texts in models/evaluation are balanced, distinct and of sensible length."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

TEXTS = Path(__file__).parents[1] / "models" / "evaluation" / "agnews.jsonl"
ROWS = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]


def test_fifty_texts_per_label() -> None:
    assert Counter(row["label"] for row in ROWS) == {"World": 50, "Sports": 50, "Business": 50, "Sci/Tech": 50}
    assert all(set(row) == {"text", "label"} for row in ROWS)


def test_every_prefix_of_whole_rotations_is_balanced() -> None:
    labels = [row["label"] for row in ROWS]
    assert labels == labels[:4] * 50
    assert len(set(labels[:4])) == 4


def test_no_text_repeats_another() -> None:
    normalized = [" ".join(row["text"].lower().split()) for row in ROWS]
    assert len(set(normalized)) == len(ROWS)
    openings = Counter(" ".join(text.split()[:6]) for text in normalized)
    assert max(openings.values()) == 1


def test_lengths_vary_between_8_and_60_words() -> None:
    words = sorted(len(row["text"].split()) for row in ROWS)
    assert words[0] >= 8
    assert words[-1] <= 60
    assert words[20] <= 10, "a tenth of the texts are headlines"
    assert words[-20] >= 33, "a tenth of the texts run to several clauses"


def test_texts_are_clean_single_lines() -> None:
    for row in ROWS:
        assert row["text"] == row["text"].strip()
        assert row["text"].isprintable()
