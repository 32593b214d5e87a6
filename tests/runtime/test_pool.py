"""Many batches at once: the same answers as one after another, from several threads too, and faults as they are."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import labelled_texts
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.pool import SessionPool

TEXTS = labelled_texts()[0] * 4


@pytest.mark.parametrize("fixture", ["tiny_committee_bundle", "tiny_tflite_bundle", "tiny_executorch_bundle"])
def test_the_same_answers_from_many_sessions(fixture: str, request: pytest.FixtureRequest) -> None:
    bundle = open_bundle(request.getfixturevalue(fixture))
    several, one = BundleClassifier(bundle, 3), BundleClassifier(bundle, 1)
    expected = one.probabilities(TEXTS)
    assert len(expected) == len(TEXTS)
    with ThreadPoolExecutor(4) as callers:
        for given in callers.map(lambda _: several.probabilities(TEXTS), range(4)):
            np.testing.assert_allclose(given, expected, atol=1e-5)


def test_sessions_are_opened_once_and_used_one_batch_at_a_time() -> None:
    opened, busy, most = [], threading.Semaphore(2), []

    def open_one() -> object:
        opened.append(object())
        return opened[-1]

    def run(session: object, batch: int) -> tuple[object, int]:
        assert busy.acquire(blocking=False), "more at once than there are sessions"
        most.append(session)
        busy.release()
        return session, batch * batch

    pool = SessionPool(open_one, 2)  # type: ignore[arg-type]
    for _ in range(3):
        assert [square for _, square in pool.map(run, range(50))] == [number**2 for number in range(50)]
    assert len(opened) == 2 and set(map(id, most)) <= set(map(id, opened))


def test_a_fault_of_one_batch_is_told_and_the_pool_goes_on() -> None:
    pool = SessionPool(object, 2)  # type: ignore[arg-type]

    def run(_: object, batch: int) -> int:
        if batch == 3:
            raise UserError("batch 3")
        return batch

    with pytest.raises(UserError, match="batch 3"):
        pool.map(run, range(8))
    assert pool.map(run, range(3)) == [0, 1, 2]


def test_a_bundle_that_goes_away_is_named(tiny_committee_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_committee_bundle, copy)
    classifier = BundleClassifier(open_bundle(copy), 2)
    classifier.probabilities(TEXTS[:2])
    shutil.rmtree(copy)
    with pytest.raises(UserError, match="can't load"):
        classifier.probabilities(TEXTS)
