"""Changed texts and other topics: what is changed, what is counted, and the section of the card."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm_edge import load
from tlm_edge.cards import with_section
from tlm_edge.robustness import CHANGES, between_marks, on_other_topics, robustness, with_typos, without_punctuation
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder

BUNDLE = models_folder() / "agnews-bert-1" / "onnx-int8"
TEXTS = models_folder() / "evaluation" / "agnews.jsonl"


def tlm_edge(*arguments):
    return subprocess.run([sys.executable, "-m", "tlm_edge", *arguments], capture_output=True, text=True, check=False)


def rows():
    return [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]


@given(st.text(max_size=200), st.integers(0, 1000))
def test_every_change_leaves_a_text(text, seed):
    for change in CHANGES.values():
        changed = change(text, np.random.default_rng(seed))
        assert bool(changed) == bool(text)


def test_about_a_tenth_of_the_longer_words_are_mistyped():
    words = ("reading shares falling over the sea " * 500).split()
    changed = with_typos(" ".join(words), np.random.default_rng(0)).split()
    assert len(changed) == len(words)
    different = [(one, other) for one, other in zip(words, changed, strict=True) if one != other]
    longer = sum(len(word) >= 4 for word in words)
    assert 0.08 < len(different) / longer < 0.12
    for one, other in different:
        assert len(one) >= 4
        assert one[0] == other[0]
        assert SequenceMatcher(None, one, other).ratio() > 0.7


def test_punctuation_goes_words_stay():
    assert without_punctuation("Oil, at $50 — again!") == "Oil at 50 again"
    assert without_punctuation("…") == "…"


def test_what_marks_an_entity_stays():
    text = "the [E1]U.S.[/E1] army"
    assert between_marks(text, without_punctuation) == "the[E1]U S[/E1]army"
    assert [change(text, np.random.default_rng(0)).count("[E1]") for change in CHANGES.values()] == [1] * len(CHANGES)
    assert between_marks("as it is", str.upper) == "AS IT IS"


def test_what_is_lost_on_the_shipped_texts():
    classifier = load(BUNDLE, 1)
    texts = [row["text"] for row in rows()]
    expected = np.array([classifier.labels.index(row["label"]) for row in rows()])
    clean = float((classifier.probabilities(texts).argmax(axis=1) == expected).mean())
    found = {one.change: one for one in robustness(classifier, texts, expected)}
    for one in found.values():
        assert one.accuracy == pytest.approx(clean - one.points_lost / 100)
        assert one.low <= one.points_lost <= one.high
    # The shipped tokenizer lower-cases.
    assert found["lower case"].points_lost == 0
    assert found["the first 10 words"].points_lost > 0


def test_other_topics_are_told_apart_by_chance_or_better():
    classifier = load(BUNDLE, 1)
    texts = [row["text"] for row in rows()]
    same = on_other_topics(classifier, texts, texts)
    assert same.told_apart == pytest.approx(0.5)
    other = on_other_topics(classifier, texts, ["Add the flour, stir, and bake for an hour.", "How are you today?"])
    assert 0.5 < other.told_apart <= 1
    assert other.mean_confidence < other.mean_confidence_here
    with pytest.raises(UserError, match="without texts"):
        on_other_topics(classifier, texts, [])


def test_a_section_is_replaced_or_added():
    card = "# a\n\n## Test\n\nold\n\n## Training\n\nkept\n"
    assert with_section(card, "Test", "new") == "# a\n\n## Test\n\nnew\n\n## Training\n\nkept\n"
    assert with_section(card, "Training", "new") == "# a\n\n## Test\n\nold\n\n## Training\n\nnew\n"
    once = with_section(card, "Robustness", "more")
    assert once == card + "\n## Robustness\n\nmore\n"
    assert with_section(once, "Robustness", "more") == once


def test_the_command_tells_all_and_writes_the_card(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(BUNDLE, copy)
    others = tmp_path / "others.txt"
    others.write_text("Add the flour, stir, and bake.\nThe oven is hot.\n")
    arguments = ["evaluate", str(copy), "--data", str(TEXTS), "--robustness", "--other-topics", str(others)]
    told = tlm_edge(*arguments)
    assert told.returncode == 0, told.stderr
    assert "no punctuation" in told.stdout
    assert "AUROC" in told.stdout
    refused = tlm_edge(*arguments, "--card")
    assert refused.returncode == 2
    assert "no model card" in refused.stderr
    (copy / "README.md").write_text("# copy\n")
    as_json = tlm_edge(*arguments, "--card", "--json")
    content = json.loads(as_json.stdout)
    assert len(content["robustness"]) == len(CHANGES)
    assert content["other_topics"]["n"] == 2
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert "## Robustness\n\nThe same" in card
    assert "evaluation/agnews.jsonl" in card


def test_a_card_needs_something_to_put_there():
    refused = tlm_edge("evaluate", str(BUNDLE), "--data", str(TEXTS), "--card")
    assert refused.returncode == 2
    assert "--card needs --robustness" in refused.stderr
