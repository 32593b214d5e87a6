"""The cost of a checkpoint or committee by part, as written and rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tlm_edge.compile.cost import Part, cost_as_written, cost_of_ngrams, cost_rewritten, total
from tlm_edge.modeling.committee import is_committee, member_folders
from tlm_edge.modeling.config import EncoderConfig, read_content
from tlm_edge.modeling.foreign import FOREIGN
from tlm_edge.modeling.members import read_member_config
from tlm_edge.modeling.ngrams import NgramConfig
from tlm_edge.runtime.errors import UserError

#: The cost of calling a file that computes next to nothing, as a share of the dearest member's.
_LEAST_COST = 0.05


@dataclass(frozen=True)
class Inspection:
    """The parts of a model, all members together, for one text of ``length`` tokens; the last one is the total."""

    model: str
    members: int
    length: int
    as_written: tuple[Part, ...]
    rewritten: tuple[Part, ...]


def inspect_model(folder: Path, length: int | None = None) -> Inspection:
    """Count the parts of a checkpoint or committee for a text of ``length`` tokens, its positions if ``None``.

    Raises ``UserError`` if it is neither, or if transformers computes it, or if it has no position for so many tokens.
    """
    kind = None if is_committee(folder) else read_content(folder).get("model_type")
    if kind in FOREIGN:
        raise UserError(
            f"{folder}: a {kind}, which transformers computes, can't be counted by part; inspect a bundle of it"
        )
    configs = _configs(folder)
    positions = min(config.max_position_embeddings for config in configs)
    if length is not None and length > positions:
        raise UserError(f"--length {length}: {folder} has {positions} positions; give at most that")
    length = length or positions
    return Inspection(
        model=folder.name,
        members=len(configs),
        length=length,
        as_written=_together([_cost(config, length, rewritten=False) for config in configs]),
        rewritten=_together([_cost(config, length, rewritten=True) for config in configs]),
    )


def member_costs(committee: Path) -> list[float]:
    """What asking each member for a text takes, relative to the dearest: rewritten, by multiply-adds."""
    configs = _configs(committee)
    length = min(config.max_position_embeddings for config in configs)
    counts = [total(_cost(config, length, rewritten=True)).multiply_adds for config in configs]
    return [max(count / max(counts, default=1), _LEAST_COST) if any(counts) else 1.0 for count in counts]


def _configs(folder: Path) -> list[EncoderConfig | NgramConfig]:
    return [read_member_config(member) for member in (member_folders(folder) if is_committee(folder) else [folder])]


def _cost(config: EncoderConfig | NgramConfig, length: int, *, rewritten: bool) -> tuple[Part, ...]:
    if isinstance(config, NgramConfig):
        return cost_of_ngrams(config, length)
    return cost_rewritten(config, length) if rewritten else cost_as_written(config, length)


def _together(members: list[tuple[Part, ...]]) -> tuple[Part, ...]:
    """The parts of all members, summed by name, and their total."""
    names = dict.fromkeys(part.name for parts in members for part in parts)
    every = [part for parts in members for part in parts]
    by_name = [total(tuple(part for part in every if part.name == name), name) for name in names]
    return (*by_name, total(tuple(every)))


def format_inspection(inspection: Inspection) -> str:
    """A table for people: each part as written → rewritten."""
    members = f", {inspection.members} members" if inspection.members > 1 else ""
    rows: list[tuple[str, ...]] = [("part", "parameters", "multiply-adds", "bytes read", "activation bytes")]
    for before, after in zip(inspection.as_written, inspection.rewritten, strict=True):
        pairs = (
            (before.parameters, after.parameters),
            (before.multiply_adds, after.multiply_adds),
            (before.bytes_read, after.bytes_read),
            (before.activation_bytes, after.activation_bytes),
        )
        rows.append((before.name, *(f"{_short(old)} → {_short(new)}" for old, new in pairs)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{inspection.model}{members}, one text of {inspection.length} tokens: as written → rewritten"]
    for name, *figures in rows:
        cells = [f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *cells]))
    return "\n".join(lines)


def _short(count: int) -> str:
    """Three significant digits with a unit prefix."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
