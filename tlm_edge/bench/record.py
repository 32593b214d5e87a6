"""The record: one bundle measured on one device, with raw samples and the provenance of every figure.

A record is a JSON file, format ``tlm-edge-record``, schema version 1 (``record.schema.json`` beside this file).
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tlm_edge.bench.figures import FIGURE_KINDS, REQUIRED_FIGURES, Figure
from tlm_edge.bench.machine import Conditions, Machine
from tlm_edge.files import new_file
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json
from tlm_edge.runtime.layout import Layout

FORMAT: Literal["tlm-edge-record"] = "tlm-edge-record"
SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")


@dataclass(frozen=True)
class BundleFacts:
    """Which bundle was measured; ``sha256`` is that of its manifest, which holds those of all its files.

    ``layout`` is how the members of a committee lie in it.
    """

    name: str
    target: str
    precision: str
    rewrite: str
    sha256: str
    source: str
    source_sha256: str
    architecture: str
    members: int
    parameters: int
    labels: tuple[str, ...]
    max_length: int
    layout: Layout = "fused"


@dataclass(frozen=True)
class DeviceFacts:
    """Where it was measured, and how that was reached (``transport``: local, …)."""

    name: str
    transport: str
    machine: Machine


@dataclass(frozen=True)
class RuntimeFacts:
    """What ran the model."""

    name: str
    version: str
    provider: str
    threads: int


@dataclass(frozen=True)
class TextFacts:
    """The texts that were timed; token counts are those after truncation.

    ``length`` is ``own`` where each had its own, else the number of tokens that all were cut or repeated to.
    """

    data: str
    sha256: str
    timed: int
    length: str
    tokens_p50: float
    tokens_p90: float
    tokens_max: int


@dataclass(frozen=True)
class Labelling:
    """Every evaluation text's expected label, the label given in this runtime, and PyTorch's (null if unknown).

    Labels are indices into the bundle's; ``smoke_test`` says that the data is too small or too easy to judge by.
    """

    data: str
    sha256: str
    smoke_test: bool
    expected: tuple[int, ...]
    given: tuple[int, ...]
    reference: tuple[int, ...] | None
    reference_origin: str


@dataclass(frozen=True)
class Block:
    """One process of an interleaved run: its place, its raw samples in microseconds, and the machine around it.

    ``others_busy_cores`` is the mean number of cores that anything but this process kept busy during the samples,
    ``watts`` what a meter showed during them, empty without one.
    """

    round: int
    position: int
    load_ms: float
    first_ms: float
    bare_rss_mb: float | None
    peak_rss_mb: float | None
    wall_seconds: float
    cpu_seconds: float
    others_busy_cores: float | None
    before: Conditions
    after: Conditions
    tokenize_us: tuple[float, ...]
    model_us: tuple[float, ...]
    watts: tuple[float, ...] = ()


@dataclass(frozen=True)
class CountedText:
    """What one text took under emulation: instructions, memory touched, and the microseconds estimated for it."""

    tokens: int
    tokenize_instructions: int
    model_instructions: int
    model_touched_mb: float
    tokenize_us: float
    model_us: float


@dataclass(frozen=True)
class Emulation:
    """How the device was emulated, and what was counted; memory in MB (10⁶ bytes), the emulator's share left out.

    A latency of the device lies between ``band[0]`` and ``band[1]`` times the estimate, a ratio of two models within
    ``ratio_band`` of the estimated one (docs/emulation.md).
    """

    emulator: str
    processor: str
    mhz: int
    band: tuple[float, ...]
    ratio_band: tuple[float, ...]
    bare_mb: float
    peak_mb: float
    counted: tuple[CountedText, ...]


@dataclass(frozen=True)
class SessionFacts:
    """The interleaved run that the record comes from; blocks of one round in one session are paired."""

    id: str
    started: str
    profile: str
    rounds: int
    inferences: int
    seconds: float
    seed: int
    records: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Validity:
    """Whether the figures may be quoted: ``reasons`` speak against it, ``notes`` only want to be known."""

    valid: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One bundle on one device at one number of threads: ``blocks`` where it was timed, else ``emulation``."""

    format: Literal["tlm-edge-record"]
    schema_version: int
    id: str
    tlm_edge_version: str
    bundle: BundleFacts
    device: DeviceFacts
    runtime: RuntimeFacts
    texts: TextFacts
    session: SessionFacts
    figures: dict[str, Figure]
    validity: Validity
    labelling: Labelling | None
    blocks: tuple[Block, ...]
    emulation: Emulation | None = None


def write_record(path: Path, record: Record) -> None:
    """Write ``record`` as JSON, atomically; runs of numbers stand on one line."""
    text = json.dumps(dataclasses.asdict(record), indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+(-?\d[-+.\deE,\s]*?)\s+\]", lambda found: "[" + re.sub(r"\s+", "", found[1]) + "]", text)
    with new_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_record(path: Path) -> Record:
    """Read a record, ``.json`` or ``.json.gz``.

    Raises ``UserError`` if the file can't be read, isn't a record, is of a newer schema, or contradicts itself.
    """
    content = _read_json(path)
    if not is_record(content):
        raise UserError(f"{path} is not a record of `tlm-edge bench`: its format is not '{FORMAT}'")
    version = content.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UserError(f"{path} gives no schema_version: measure again")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} is of schema version {version}, this tlm-edge reads up to {SCHEMA_VERSION}: "
            "pip install --upgrade tlm-edge"
        )
    try:
        record = from_json(Record, content)
        _check_values(record)
    except JsonShapeError as error:
        raise UserError(f"{path} is not a complete record: {error}; measure again") from error
    return record


def read_records(paths: Iterable[Path]) -> list[Record]:
    """Records of files, and of folders with all below them; other JSON files in a folder are passed over.

    Raises ``UserError`` if a path doesn't exist, holds no record, or two records share an id and session.
    """
    records: dict[tuple[str, str], tuple[Path, Record]] = {}
    for path in paths:
        files = [path] if path.is_file() else record_files(path)
        if not files:
            raise UserError(f"{path} holds no records: `tlm-edge bench` writes them")
        for file in files:
            record = read_record(file)
            key = (record.session.id, record.id)
            if key in records and records[key][0].resolve() != file.resolve():
                raise UserError(f"{file} and {records[key][0]} are the same record: give one of them")
            records[key] = (file, record)
    return [record for _, record in records.values()]


def is_record(content: Any) -> bool:
    """Whether decoded JSON calls itself a record."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def record_files(folder: Path) -> list[Path]:
    """The records in ``folder`` and below it, sorted by path.

    Raises ``UserError`` if there is no such folder, or a JSON file in it is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"no record file or folder '{folder}'")
    files = sorted([*folder.rglob("*.json"), *folder.rglob("*.json.gz")])
    return [file for file in files if is_record(_read_json(file))]


def _read_json(path: Path) -> Any:
    try:
        content = path.read_bytes()
        return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}): it may be cut off; measure again") from error


def _check_length(length: str) -> None:
    if not re.fullmatch("own|[1-9][0-9]*", length):
        raise JsonShapeError("texts.length: 'own' or a number of tokens expected")


def _check_values(record: Record) -> None:
    for name in REQUIRED_FIGURES:
        if name not in record.figures:
            raise JsonShapeError(f"figures.{name}: missing")
    for name, figure in record.figures.items():
        _check_figure(name, figure)
    _check_length(record.texts.length)
    if record.emulation is not None:
        _check_emulation(record.emulation, record.blocks)
    elif not record.blocks:
        raise JsonShapeError("blocks: at least one expected")
    for number, block in enumerate(record.blocks):
        if not block.model_us or len(block.model_us) != len(block.tokenize_us):
            raise JsonShapeError(f"blocks[{number}]: as many tokenize_us as model_us, and at least one, expected")
        if not all(0 <= value < math.inf for value in (*block.model_us, *block.tokenize_us)):
            raise JsonShapeError(f"blocks[{number}]: a sample is negative or not a number")
    if record.labelling is not None:
        _check_labelling(record.labelling, len(record.bundle.labels))


def _check_emulation(emulation: Emulation, blocks: tuple[Block, ...]) -> None:
    if blocks:
        raise JsonShapeError("blocks: an emulated device is not timed")
    if not emulation.counted:
        raise JsonShapeError("emulation.counted: at least one text expected")
    for name in ("band", "ratio_band"):
        band = getattr(emulation, name)
        if len(band) != 2 or not 0 < band[0] <= 1 <= band[1]:
            raise JsonShapeError(f"emulation.{name}: two factors around 1 expected")
    for number, text in enumerate(emulation.counted):
        if not all(0 <= value < math.inf for value in (text.tokenize_us, text.model_us, text.model_instructions)):
            raise JsonShapeError(f"emulation.counted[{number}]: a value is negative or not a number")


def _check_figure(name: str, figure: Figure) -> None:
    if name not in FIGURE_KINDS:
        raise JsonShapeError(f"figures.{name}: not a known figure")
    if (figure.value is None) != (figure.provenance is None):
        raise JsonShapeError(f"figures.{name}: a value wants a provenance, and a provenance a value")
    if figure.value is not None and not math.isfinite(figure.value):
        raise JsonShapeError(f"figures.{name}.value: a finite number expected, {figure.value} found")


def _check_labelling(labelling: Labelling, labels: int) -> None:
    rows = [labelling.expected, labelling.given, labelling.reference or labelling.given]
    if len({len(row) for row in rows}) != 1 or not labelling.expected:
        raise JsonShapeError("labelling: expected, given and reference must be of one length")
    if not all(0 <= index < labels for row in rows for index in row):
        raise JsonShapeError("labelling: an index beyond the labels")
