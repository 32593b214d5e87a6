"""What becomes of a classifier's accuracy when texts are written otherwise, and of its confidence on other topics.

Typing errors are those of Belinkov and Bisk (*Synthetic and Natural Noise Both Break Neural Machine Translation*, arXiv
1711.02173) spread over four kinds; confidence is judged as by Hendrycks and Gimpel (*A Baseline for Detecting
Misclassified and Out-of-Distribution Examples*, arXiv 1610.02136).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlm_edge.cards import table, with_section
from tlm_edge.data.fewrel import MARKERS
from tlm_edge.files import new_file
from tlm_edge.runtime.classifier import Classifier
from tlm_edge.runtime.errors import UserError

#: The share of words with a typing error, and the letters that a word needs to get one.
TYPOS, LONG_ENOUGH = 0.1, 4
#: What is left of a text that is cut.
FIRST_WORDS = 10
_MARK = re.compile(f"({'|'.join(map(re.escape, MARKERS))})")
_WORD = re.compile(rf"[^\W\d_]{{{LONG_ENOUGH},}}")


@dataclass(frozen=True)
class Changed:
    """Accuracy (0 … 1) on texts changed in one way, and the points lost against the same texts as they are.

    ``low`` and ``high`` bound the points with 95 % confidence: texts are drawn again in pairs (bootstrap).
    """

    change: str
    accuracy: float
    points_lost: float
    low: float
    high: float


@dataclass(frozen=True)
class OtherTopics:
    """Confidence, the probability of the best label, on ``n`` texts that are about none of the labels.

    ``told_apart`` is the chance that such a text gets less confidence than one of the labels' own (AUROC; 0.5: not told
    apart).
    """

    n: int
    mean_confidence: float
    mean_confidence_here: float
    told_apart: float


def with_typos(text: str, random: np.random.Generator) -> str:
    """``text`` with an error in every tenth longer word: two letters swapped, one dropped, doubled or mistyped."""

    def mistype(found: re.Match[str]) -> str:
        word = found[0]
        if random.random() >= TYPOS:
            return word
        # The first letter stays, as it does where people type.
        place, kind = int(random.integers(1, len(word) - 1)), int(random.integers(4))
        here, after = word[place], word[place + 1 :]
        letter = string.ascii_lowercase[int(random.integers(26))]
        changed = (after[:1] + here + after[1:], after, here + here + after, letter + after)[kind]
        return word[:place] + changed

    return _WORD.sub(mistype, text)


def without_punctuation(text: str) -> str:
    """Letters, digits and single spaces alone; ``text`` itself if that leaves nothing."""
    return " ".join(re.findall(r"\w+", text)) or text


def between_marks(text: str, change: Callable[[str], str]) -> str:
    """``text`` with ``change`` made to what stands between the marks of entities: these are not the writer's."""
    return "".join(part if part in MARKERS else change(part) for part in _MARK.split(text))


CHANGES: dict[str, Callable[[str, np.random.Generator], str]] = {
    f"a typing error in {TYPOS:.0%} of the longer words": lambda text, random: between_marks(
        text, lambda part: with_typos(part, random)
    ),
    "lower case": lambda text, _: between_marks(text, str.lower),
    "upper case": lambda text, _: between_marks(text, str.upper),
    "no punctuation": lambda text, _: between_marks(text, without_punctuation),
    f"the first {FIRST_WORDS} words": lambda text, _: " ".join(text.split()[:FIRST_WORDS]) or text,
}


def robustness(
    classifier: Classifier, texts: Sequence[str], expected: np.ndarray, *, seed: int = 0
) -> tuple[Changed, ...]:
    """How ``classifier`` does on ``texts`` changed in each of ``CHANGES``.

    ``expected`` is int64 (texts,), indices into its labels. Raises ``ValueError`` if there are no texts.
    """
    if not len(texts):
        raise ValueError("no texts to evaluate on")
    right = _right(classifier, texts, expected)
    changed = []
    for name, change in CHANGES.items():
        random = np.random.default_rng(seed)
        lost = right - _right(classifier, [change(text, random) for text in texts], expected)
        draws = random.integers(len(lost), size=(1000, len(lost)))
        low, high = np.percentile(100 * lost[draws].mean(axis=1), [2.5, 97.5])
        points = 100 * float(lost.mean())
        changed.append(Changed(name, float((right - lost).mean()), points, float(low), float(high)))
    return tuple(changed)


def on_other_topics(classifier: Classifier, texts: Sequence[str], others: Sequence[str]) -> OtherTopics:
    """How sure ``classifier`` is of ``others``, texts of no label, beside ``texts`` of its labels.

    Raises ``UserError`` if there are no ``others``.
    """
    if not others:
        raise UserError("--other-topics names a file without texts: give it some")
    here, there = (classifier.probabilities(each).max(axis=1).astype(np.float64) for each in (texts, others))
    below = np.searchsorted(np.sort(there), here, side="left") + np.searchsorted(np.sort(there), here, side="right")
    return OtherTopics(len(others), float(there.mean()), float(here.mean()), float(below.mean() / 2 / len(there)))


def add_to_card(model: Path, data: str, rows: int, changed: Sequence[Changed], topics: OtherTopics | None) -> Path:
    """Put what was measured on ``rows`` texts of ``data`` into the card of ``model``, a checkpoint's folder.

    What stood there of it is replaced. Raises ``UserError`` if there is no card.
    """
    file = model / "README.md"
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{model} has no model card, README.md: --card is for checkpoints and committees") from None
    lines = ["| changed | accuracy | points lost (95 %) |", "|---|---|---|"]
    lines += [
        f"| {one.change} | {one.accuracy:.4f} | {one.points_lost:+.1f} ({one.low:+.1f} to {one.high:+.1f}) |"
        for one in changed
    ]
    content = f"The same {rows:,} texts of {data}, written otherwise:\n\n" + "\n".join(lines)
    if topics is not None:
        content += "\n\nTexts on other topics get one of the labels all the same:\n\n" + table(
            {
                "texts": f"{topics.n:,}",
                "mean confidence, there and on texts of the labels": f"{topics.mean_confidence:.3f}, "
                f"{topics.mean_confidence_here:.3f}",
                "told apart by confidence (AUROC)": f"{topics.told_apart:.3f}",
            }
        )
    with new_file(file) as made:
        made.write_text(with_section(text, "Robustness", content), encoding="utf-8")
    return file


def _right(classifier: Classifier, texts: Sequence[str], expected: np.ndarray) -> np.ndarray:
    """1 for every text that gets its label, 0 for the others, float64 (texts,)."""
    predicted: np.ndarray = classifier.probabilities(texts).argmax(axis=1)
    return (predicted == expected).astype(np.float64)
