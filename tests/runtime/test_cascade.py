"""The cascade asks who is needed and no more, and with margins out of reach gives the full vote."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tlm_edge.runtime.cascade import Cascade, lead, vote_in_turn
from tlm_edge.runtime.vote import soft_vote, softmax

LOGITS = arrays(np.float64, (5, 3, 4), elements=st.floats(-5, 5))


def replay(cascade, logits):
    asked = []

    def ask(member, rows):
        asked.append((member, rows.tolist()))
        return logits[rows, member]

    return vote_in_turn(cascade, len(logits), ask), asked


@settings(max_examples=50, deadline=None)
@given(LOGITS, st.permutations([0, 1, 2]))
def test_out_of_reach_margins_ask_everyone_and_give_the_full_vote(logits, order):
    votes, asked = replay(Cascade(tuple(order), (2.0, 2.0)), logits)
    np.testing.assert_allclose(votes.probabilities, soft_vote(logits), rtol=0, atol=1e-12)
    assert votes.members_used.tolist() == [3] * 5
    assert asked == [(member, [0, 1, 2, 3, 4]) for member in order]


@settings(max_examples=50, deadline=None)
@given(LOGITS, st.floats(0, 1), st.floats(0, 1))
def test_each_text_asks_until_its_vote_is_clear(logits, first, second):
    cascade = Cascade((1, 2, 0), (first, second))
    votes, asked = replay(cascade, logits)
    for row in range(len(logits)):
        answers = softmax(logits[row, list(cascade.order)])
        used = 1
        while used < 3 and np.diff(np.sort(answers[:used].mean(axis=0)))[-1] < cascade.margins[used - 1]:
            used += 1
        assert votes.members_used[row] == used
        np.testing.assert_allclose(votes.probabilities[row], answers[:used].mean(axis=0), rtol=0, atol=1e-12)
        assert [member for member, rows in asked if row in rows] == list(cascade.order[:used])


@settings(max_examples=50, deadline=None)
@given(
    LOGITS.map(lambda logits: logits.astype(np.float32)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from([(), (0.2, 0.5, 0.3)]),
)
def test_a_text_by_itself_gets_the_same_vote(logits, margins, weights):
    cascade = Cascade((1, 2, 0), margins)
    together = vote_in_turn(cascade, 5, lambda member, rows: logits[rows, member], weights)
    for row in range(5):
        alone = vote_in_turn(cascade, 1, lambda member, rows, row=row: logits[rows + row, member], weights)
        assert alone.members_used.tolist() == [together.members_used[row]]
        assert alone.probabilities.dtype == together.probabilities.dtype == np.float32
        np.testing.assert_array_equal(alone.probabilities[0], together.probabilities[row])


def test_no_one_is_asked_for_nothing():
    votes, asked = replay(Cascade((0, 1), (0.0,)), np.ones((3, 2, 4)))
    assert votes.members_used.tolist() == [1, 1, 1] and len(asked) == 1


def test_the_lead_of_a_single_label_is_whole():
    assert lead(np.ones((2, 1))).tolist() == [1, 1]
    np.testing.assert_allclose(lead(np.array([[0.2, 0.7, 0.1]])), [0.5])


@pytest.mark.parametrize(
    ("order", "margins", "fault"),
    [((0, 0), (0.1,), "no order"), ((0,), (), "no order"), ((1, 0), (), "1 margins"), ((0, 1), (-1.0,), "negative")],
)
def test_a_damaged_cascade_says_so(order, margins, fault):
    assert fault in Cascade(order, margins).fault()
