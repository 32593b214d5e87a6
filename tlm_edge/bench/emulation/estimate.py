"""Latency on a device's core from what was executed under emulation: an estimate, with the band it is worth.

Time is what the pipeline takes for the instructions, corrected by a factor, and what memory takes to deliver the data
that doesn't stay in a cache. One thread only: how several share caches and memory isn't modelled. docs/emulation.md
holds the estimate against published measurements; ``benchmarks/emulated_latency.py`` does it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tlm_edge.bench.emulation.cycles import block_cycles
from tlm_edge.bench.emulation.observe import Region
from tlm_edge.bench.profiles import Cores, DeviceProfile

#: How many times longer code takes than llvm-mca's cycles: mispredicted branches, caches missed, blocks that llvm-mca
#: sees apart. Fitted to the published measurements; the band holds all of them that are claimed.
FACTOR = 1.3
#: The estimate times these bounds what the device will show.
BAND = (1 / 1.4, 1.4)
#: The same for the ratio of two models in one runtime on one device, where most of the error is common to both.
RATIO_BAND = (1 / 1.3, 1.3)


@dataclass(frozen=True)
class RegionEstimate:
    """What a region executed, and the microseconds it is estimated to take."""

    instructions: int
    cycles: float
    touched_mb: float
    microseconds: float


def estimate(regions: Sequence[Region], profile: DeviceProfile, cores: Cores) -> list[RegionEstimate]:
    """The estimate for each region on one of the device's ``cores``.

    Raises ``UserError`` if LLVM isn't there or doesn't know the processor; ``ValueError`` if the profile names none.
    """
    if cores.mca is None or profile.memory_gbps is None:
        raise ValueError(f"{profile.name} says neither mca nor memory_gbps")
    cycles_of = block_cycles((block for region in regions for block in region.blocks), cores.mca)
    estimates = []
    for region in regions:
        cycles = sum(cycles_of[block] * times for block, times in region.blocks.items())
        estimates.append(
            RegionEstimate(
                region.instructions, cycles, region.touched_mb, microseconds(cycles, region.touched_mb, profile, cores)
            )
        )
    return estimates


def microseconds(cycles: float, touched_mb: float, profile: DeviceProfile, cores: Cores) -> float:
    """Microseconds for llvm-mca's ``cycles`` and ``touched_mb`` of memory."""
    assert profile.memory_gbps is not None  # noqa: S101 (estimate() asks for it)
    computing = FACTOR * cycles / cores.mhz
    cached = (cores.l2_kib + profile.shared_cache_kib) * 1024 / 1e6
    # What exceeds the caches is fetched again each time; MB over GB/s are milliseconds.
    fetching = 1e3 * max(0.0, touched_mb - cached) / profile.memory_gbps
    return max(computing, fetching)
