"""Members in files of their own: who is asked by whom, and that answers keep their places."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tlm_edge.runtime.staged import StagedSession

ROWS = np.array([[1, 2, 3]]), np.ones((1, 3), dtype=np.int64)


class Numbered:
    """A session whose logits are its number; it notes the thread that asks, and waits for ``others`` to be asked."""

    runtime, version = "none", "0"

    def __init__(self, number: int, others: threading.Barrier):
        self.number, self.others, self.asked_by = number, others, 0

    def run(self, *_arrays):
        self.asked_by = threading.get_ident()
        self.others.wait(timeout=30)
        return {"logits": np.array([[float(self.number), 0.0]])}


@pytest.mark.parametrize(("members", "at_once"), [(4, 2), (4, 4), (6, 3)])
def test_as_many_compute_at_once_as_there_are_threads(members, at_once):
    # The barrier lets them go on only when that many are at work at the same time.
    barrier = threading.Barrier(at_once)
    sessions = [Numbered(number, barrier) for number in range(members)]
    found = StagedSession(sessions, None, at_once=at_once).run(*ROWS)
    assert found["member_logits"][0, :, 0].tolist() == list(range(members))
    assert len({session.asked_by for session in sessions}) == at_once
    assert sessions[0].asked_by == threading.get_ident()


def test_a_fault_of_a_member_comes_through():
    class Broken(Numbered):
        def run(self, *_arrays):
            raise ValueError("broken")

    alone = threading.Barrier(1)
    with pytest.raises(ValueError, match="broken"):
        StagedSession([Numbered(0, alone), Broken(1, alone)], None, at_once=2).run(*ROWS)
