"""How a benchmark is run: how often, how long, on which texts, in which order.

Minimum count *and* minimum time follow MLPerf Mobile's single-stream scenario (Janapa Reddi et al., *MLPerf Mobile
Inference Benchmark*, MLSys 2022, arXiv 2012.02328: at least 1024 queries and 60 s); ``rapid`` and ``quick`` are
shorter forms of the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlm_edge.runtime.errors import UserError


@dataclass(frozen=True)
class Profile:
    """Length of a measurement: inferences and seconds for each bundle over all rounds, both to be reached.

    Every round runs each bundle once, in a process of its own that first warms up for ``warm_up_seconds`` and then
    makes whole passes over the same ``texts`` texts. On an emulated device the same texts' instructions are counted
    once, and ``emulated_texts`` of the evaluation texts labelled.
    """

    name: str
    inferences: int
    seconds: float
    rounds: int
    texts: int
    warm_up_seconds: float
    emulated_texts: int = 32

    @property
    def block_inferences(self) -> int:
        """Inferences that one block, a bundle's turn in a round, must reach."""
        return math.ceil(self.inferences / self.rounds)

    @property
    def block_seconds(self) -> float:
        """Seconds that one block must reach."""
        return self.seconds / self.rounds


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("rapid", inferences=64, seconds=3.0, rounds=8, texts=16, warm_up_seconds=0.1, emulated_texts=32),
        Profile("quick", inferences=128, seconds=10.0, rounds=8, texts=32, warm_up_seconds=0.25, emulated_texts=200),
        Profile(
            "normal", inferences=1024, seconds=60.0, rounds=16, texts=128, warm_up_seconds=1.0, emulated_texts=2000
        ),
    )
}


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises ``UserError`` naming those there are."""
    if name not in PROFILES:
        raise UserError(f"no profile '{name}': choose {', '.join(PROFILES)}")
    return PROFILES[name]


def texts_to_time(texts: Sequence[str], profile: Profile, seed: int) -> list[str]:
    """The texts of every block: evenly spaced over the distribution of lengths in ``texts``, in random order.

    All blocks time the same texts, so that rounds and bundles can be compared one by one; all texts, if there are no
    more than the profile's. Raises ``UserError`` if there are none.
    """
    if not texts:
        raise UserError("there are no texts to time: give --data a file that has some")
    by_length = sorted(texts, key=lambda text: (len(text), text))
    count = min(profile.texts, len(by_length))
    chosen = [by_length[int((position + 0.5) * len(by_length) / count)] for position in range(count)]
    return [chosen[index] for index in np.random.default_rng(seed).permutation(count).tolist()]


def order_of_round(entries: int, number: int) -> list[int]:
    """Whose turn it is in round ``number``: rotated every other round and reversed in between.

    Over two rounds each pair comes in both orders, so that slow drift of clock or temperature favours nobody.
    """
    start = (number // 2) % entries
    order = [(start + position) % entries for position in range(entries)]
    return order if number % 2 == 0 else order[::-1]
