from __future__ import annotations

from itertools import permutations

import pytest

from tlm_edge.bench.protocol import PROFILES, order_of_round, profile_named, texts_to_time
from tlm_edge.runtime.errors import UserError


def test_profiles_reach_what_they_promise():
    for name, inferences, seconds in (("rapid", 64, 3.0), ("quick", 128, 10.0), ("normal", 1024, 60.0)):
        profile = profile_named(name)
        assert profile.rounds * profile.block_inferences >= inferences
        assert profile.rounds * profile.block_seconds == pytest.approx(seconds)
        assert profile.rounds * profile.texts >= inferences


def test_an_unknown_profile_is_named_with_those_there_are():
    with pytest.raises(UserError, match="'slow': choose rapid, quick, normal"):
        profile_named("slow")


def test_timed_texts_span_the_lengths():
    texts = ["w" * length for length in range(1, 201)]
    timed = texts_to_time(texts, PROFILES["rapid"], seed=0)
    lengths = sorted(len(text) for text in timed)
    assert len(set(lengths)) == PROFILES["rapid"].texts
    assert lengths[0] < 15
    assert lengths[-1] > 185
    assert sum(lengths) / len(lengths) == pytest.approx(100.5, abs=1.5)


def test_timed_texts_depend_on_the_seed_in_order_only():
    texts = [f"text {number}" * number for number in range(1, 50)]
    one, other = (texts_to_time(texts, PROFILES["rapid"], seed=seed) for seed in (0, 1))
    assert one == texts_to_time(texts, PROFILES["rapid"], seed=0)
    assert one != other
    assert sorted(one) == sorted(other)


def test_few_texts_are_all_timed_and_none_are_refused():
    assert sorted(texts_to_time(["b", "a"], PROFILES["normal"], seed=0)) == ["a", "b"]
    with pytest.raises(UserError, match="no texts"):
        texts_to_time([], PROFILES["normal"], seed=0)


@pytest.mark.parametrize("entries", [1, 2, 3, 6])
def test_every_pair_comes_in_both_orders_equally_often(entries):
    rounds = [order_of_round(entries, number) for number in range(8)]
    assert all(sorted(order) == list(range(entries)) for order in rounds)
    for one, other in permutations(range(entries), 2):
        assert sum(order.index(one) < order.index(other) for order in rounds) == 4
