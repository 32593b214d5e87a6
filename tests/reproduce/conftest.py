"""The folder of a small reproduction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reproduce.small import PLAN, outcome, probabilities
from tests.tiny_models import labelled_texts
from tlm_edge.reproduce.outcome import OUTCOMES, write_outcome


@pytest.fixture(scope="session")
def reproduction(tmp_path_factory, tiny_folder, tiny_committee, tiny_deep_checkpoint) -> Path:
    """Two members of a committee, two models "from scratch" (a baseline of words, so that they differ), a deep one."""
    from tlm_edge.reproduce.baseline import baseline_probabilities

    folder = tmp_path_factory.mktemp("reproduction")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    texts, labels = labelled_texts()
    expected = np.array(labels)
    for seed in (0, 1):
        member = probabilities(tiny_folder / f"tiny-committee-{seed}")
        learned = slice(40 * seed, 40 * (seed + 1))
        words = baseline_probabilities(texts[learned], expected[learned], texts, 4, seed)
        for corpus, answers in (("texts", member), (None, words)):
            write_outcome(folder / OUTCOMES, outcome("bert-1", corpus, seed), expected=expected, probabilities=answers)
    deep = probabilities(tiny_deep_checkpoint)
    write_outcome(folder / OUTCOMES, outcome("bert-3", "texts", 0), expected=expected, probabilities=deep)
    return folder
