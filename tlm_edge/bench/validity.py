"""Whether a measurement may be quoted, and why not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlm_edge.bench.machine import Conditions
from tlm_edge.bench.protocol import Profile
from tlm_edge.bench.record import Block, Validity
from tlm_edge.bench.statistics import relative_spread

#: Cores kept busy by anything else, on average, above which latencies are not the bundle's alone.
OTHERS_BUSY_CORES = 0.25
#: Interquartile range of the blocks' medians over their median, above which the machine was unsteady.
BLOCK_SPREAD = 0.10
#: °C above which boards and phones begin to slow down (a Raspberry Pi at 80).
HOT = 80.0
#: A clock that falls below this share of where it began was throttled.
CLOCK_DROP = 0.9


def judge(blocks: Sequence[Block], profile: Profile) -> Validity:
    """The verdict on a record's blocks under the profile they were to follow."""
    reasons = [*_sample_faults(blocks, profile), *_load_faults(blocks), *_heat_faults(blocks)]
    return Validity(not reasons, tuple(reasons), tuple(_notes(blocks)))


def _sample_faults(blocks: Sequence[Block], profile: Profile) -> list[str]:
    faults = []
    inferences = sum(len(block.model_us) for block in blocks)
    seconds = sum(block.wall_seconds for block in blocks)
    if inferences < profile.inferences:
        faults.append(f"too few samples: {inferences} of {profile.inferences}")
    if seconds < profile.seconds:
        faults.append(f"too short: {seconds:.1f} of {profile.seconds:g} s")
    if len(blocks) < profile.rounds:
        faults.append(f"too few rounds: {len(blocks)} of {profile.rounds}")
    spread = relative_spread([float(np.median(np.add(block.tokenize_us, block.model_us))) for block in blocks])
    if spread > BLOCK_SPREAD:
        faults.append(f"unsteady: the rounds' medians spread by {spread:.1%} (limit {BLOCK_SPREAD:.0%})")
    return faults


def _load_faults(blocks: Sequence[Block]) -> list[str]:
    others = [block.others_busy_cores for block in blocks if block.others_busy_cores is not None]
    if others and float(np.mean(others)) > OTHERS_BUSY_CORES:
        return [f"other load: other processes kept {np.mean(others):.2f} cores busy (limit {OTHERS_BUSY_CORES:g})"]
    return []


def _heat_faults(blocks: Sequence[Block]) -> list[str]:
    faults = []
    hottest = max((value for state in _states(blocks) if (value := state.temperature_c) is not None), default=0.0)
    if hottest >= HOT:
        faults.append(f"hot: {hottest:.0f} °C (limit {HOT:.0f})")
    clocks = [state.clock_mhz for state in (block.after for block in blocks) if state.clock_mhz]
    if clocks and min(clocks) < CLOCK_DROP * clocks[0]:
        faults.append(f"the clock fell from {clocks[0]:.0f} to {min(clocks):.0f} MHz")
    # Bits 0 to 3 of vcgencmd's answer are the present state: under-voltage, capped, throttled, soft limit.
    flags = [state.throttled for state in _states(blocks) if state.throttled]
    if any(int(flag, 16) & 0xF for flag in flags if flag.lower().startswith("0x")):
        faults.append(f"throttled: the firmware reports {flags[-1]}")
    return faults


def _notes(blocks: Sequence[Block]) -> list[str]:
    first = blocks[0].before
    notes = []
    if first.governor is None and first.clock_mhz is None:
        notes.append("the system tells neither clock nor governor")
    elif first.governor and first.governor != "performance":
        notes.append(f"the CPU governor is {first.governor}, so the clock may vary")
    if first.temperature_c is None:
        notes.append("the system tells no temperature")
    if any(state.on_battery for state in _states(blocks)):
        notes.append("running on battery")
    if all(block.others_busy_cores is None for block in blocks):
        notes.append("the system doesn't tell how busy other processes are")
    return notes


def _states(blocks: Sequence[Block]) -> list[Conditions]:
    return [state for block in blocks for state in (block.before, block.after)]
