"""The estimate of latency against published measurements: image networks in ncnn's own arm64 wheel, emulated.

Every published single-thread latency of ncnn in ``profiles.toml`` and in ``boards/``, of a network in
``networks.py``, is predicted as ``bench --device NAME --emulate`` predicts: blocks that are executed under qemu-user,
their cycles by llvm-mca, the factor, and what memory takes. ``docs/emulation.md`` shows what came out, misses included.

    python benchmarks/emulated_latency.py     # needs make setup-emulation; half an hour on one core
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from environment import write_result
from networks import NETWORKS

from tlm_edge.bench.emulation.cycles import block_cycles
from tlm_edge.bench.emulation.estimate import BAND, FACTOR, RATIO_BAND, microseconds
from tlm_edge.bench.emulation.machine import emulated_machine, emulator_version
from tlm_edge.bench.profiles import Cores, DeviceProfile, Reference, profile_names, profile_of
from tlm_edge.bench.runner import fetch_package

HERE = Path(__file__).resolve().parent
#: The release nearest to the measurements that has a wheel for the Python of Debian 12; its hash is that of the wheel.
NCNN = "ncnn==1.0.20240102"
_NCNN_HASH = "--hash=sha256:b88c5b982efc26b5a85d0f1fa56f7ade6f3b001ba37f3f928dd10e1eb0c231f5"

#: Networks of matrix products (1×1 convolutions) and depthwise convolutions, as good as nothing else.
CLAIMED_NETWORKS = ("mobilenet-v1", "mobilenet-v2")
#: Why the estimate isn't held against the others' measurements.
_NOT_CLAIMED = {
    "squeezenet-v1.1": "3×3 convolutions, whose code ncnn has rewritten since",
    "resnet18": "3×3 convolutions, whose code ncnn has rewritten since",
    "vgg16": "3×3 convolutions, whose code ncnn has rewritten since",
    "alexnet": "full layers and normalisations that wait for memory, which llvm-mca doesn't see",
    "vit-b-32": "its layers' code differs from release to release, and which was measured isn't told",
}
#: Of this year is the code that is emulated, in the parts that the claimed networks use.
_SAME_CODE_SINCE = 2021


@dataclass(frozen=True)
class Prediction:
    """A published latency and what is predicted for it; ``left_out`` says why it isn't claimed, empty if it is."""

    device: str
    core: str
    model: str
    precision: str
    mhz: int
    year: int | None
    published_ms: float
    source: str
    instructions: int
    cycles: float
    touched_mb: float
    predicted_ms: float
    #: Published over predicted: what the band is of.
    ratio: float
    left_out: str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, help="keep ncnn's wheel and what was counted there, and use it again")
    work = parser.parse_args().work
    with tempfile.TemporaryDirectory() as scratch:
        folder = (work or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        predictions, others = measure(folder)
    write_result("emulated_latency", summary(predictions, others))


def measure(folder: Path) -> tuple[list[Prediction], list[dict[str, Any]]]:
    """A prediction for every reference that can be run, and the others with the reason."""
    predictions, others = [], []
    counted: dict[tuple[str, str], dict[str, float]] = {}
    for profile, reference in references():
        reason = unfit(reference)
        if reason:
            others.append({"device": profile.title, **asdict(reference), "reason": reason})
            continue
        cores = profile.cores[0]
        key = (cores.type, reference.model)
        if key not in counted:
            counted[key] = count(cores, reference.model, folder)
        predictions.append(predict(profile, cores, reference, counted[key]))
        print(json.dumps(asdict(predictions[-1])), flush=True)
    return predictions, others


def references() -> Iterator[tuple[DeviceProfile, Reference]]:
    """Every published measurement that is kept here, with the device that it was made on."""
    boards = sorted(str(path) for path in (HERE / "boards").glob("*.toml"))
    for name in (*profile_names(), *boards):
        profile = profile_of(name)
        yield from ((profile, reference) for reference in profile.references)


def unfit(reference: Reference) -> str:
    """Why a reference can't be predicted at all; empty if it can."""
    if reference.threads != 1:
        return f"{reference.threads} threads: how they share caches and memory isn't modelled"
    if reference.runtime != "ncnn" or reference.model not in NETWORKS:
        return "the file that was measured can't be made again here"
    return ""


def count(cores: Cores, model: str, folder: Path) -> dict[str, float]:
    """Instructions, cycles and touched memory of one inference on emulated ``cores``, after another one."""
    kept = folder / f"{NCNN}-{cores.type}-{model}.json"
    if kept.is_file():
        counted: dict[str, float] = json.loads(kept.read_bytes())
        return counted
    machine = emulated_machine(cores)
    wheel = folder / f"{NCNN}-cp{machine.python[0]}{machine.python[1]}"
    if not wheel.is_dir():
        fetch_package(f"{NCNN} {_NCNN_HASH}", "aarch64", machine.python, wheel)
    machine = replace(machine, runner=replace(machine.runner, folders=(*machine.runner.folders, wheel)))
    network = NETWORKS[model]()
    side = int(network.lines[0].split("0=")[1].split()[0])
    job = json.dumps({"network": network.text(), "side": side, "output": network.last})
    status, output, errors, observation = machine.run([str(HERE / "emulated" / "network.py")], job, regions=1)
    if status or observation is None or output.strip() != "1000":
        sys.exit(f"error: {model} on {cores.type}: {errors.strip()[-500:] or output}")
    (region,) = observation.regions
    assert cores.mca is not None
    cycles = block_cycles(region.blocks, cores.mca)
    counted = {
        "instructions": region.instructions,
        "cycles": sum(cycles[block] * times for block, times in region.blocks.items()),
        "touched_mb": region.touched_mb,
    }
    kept.write_text(json.dumps(counted), encoding="utf-8")
    return counted


def predict(profile: DeviceProfile, cores: Cores, reference: Reference, counted: dict[str, float]) -> Prediction:
    """What the estimate says of a published measurement."""
    at_clock = replace(cores, mhz=reference.mhz)
    predicted = microseconds(counted["cycles"], counted["touched_mb"], profile, at_clock) / 1e3
    left_out = _NOT_CLAIMED.get(reference.model, "")
    if not left_out and (reference.year or 0) < _SAME_CODE_SINCE:
        left_out = f"of {reference.year}, before ncnn's code for these cores was rewritten"
    return Prediction(
        device=profile.title,
        core=cores.type,
        model=reference.model,
        precision=reference.precision,
        mhz=reference.mhz,
        year=reference.year,
        published_ms=reference.ms,
        source=reference.source,
        instructions=int(counted["instructions"]),
        cycles=counted["cycles"],
        touched_mb=counted["touched_mb"],
        predicted_ms=predicted,
        ratio=reference.ms / predicted,
        left_out=left_out,
    )


def summary(predictions: list[Prediction], others: list[dict[str, Any]]) -> dict[str, Any]:
    """The result: all predictions, and what factor and bands they give, beside those that are used."""
    claimed = [one for one in predictions if not one.left_out]
    pairs = [
        {"device": one.device, "models": [one.model, other.model], **ratios(one, other)}
        for one, other in itertools.combinations(predictions, 2)
        if one.device == other.device and not one.left_out and not other.left_out
    ]
    # Without the factor a prediction is shorter by it, as long as no memory bounds it.
    factors = [one.ratio * FACTOR for one in claimed]
    return {
        "emulator": emulator_version(),
        "runtime": NCNN,
        "factor": {"used": FACTOR, "fitted": math.exp(sum(map(math.log, factors)) / len(factors))},
        "band": {"used": BAND, "found": [min(one.ratio for one in claimed), max(one.ratio for one in claimed)]},
        "ratio_band": {
            "used": RATIO_BAND,
            "found": [min(pair["ratio"] for pair in pairs), max(pair["ratio"] for pair in pairs)],
        },
        "predictions": [asdict(one) for one in predictions],
        "pairs": pairs,
        "not_predicted": others,
    }


def ratios(one: Prediction, other: Prediction) -> dict[str, float]:
    """How many times longer ``one`` takes than ``other``: published, predicted, and the one over the other."""
    published, predicted = one.published_ms / other.published_ms, one.predicted_ms / other.predicted_ms
    return {"published": published, "predicted": predicted, "ratio": published / predicted}


if __name__ == "__main__":
    main()
