"""Several models and targets in one call: each is exported by itself, and one that fails loses none of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlm_edge.export.export import OUT, Options, Tell, export_prepared
from tlm_edge.export.prepare import prepare
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError


@dataclass(frozen=True)
class Outcome:
    """What became of one model for one target: the bundle, or the error that prevented it."""

    model: str
    target: str
    bundle: Bundle | None
    error: Exception | None


def export_each(
    models: Sequence[str],
    targets: Sequence[str],
    precision: str,
    out: Path | None = None,
    options: Options = Options(),  # noqa: B008 (frozen)
    tell: Tell = print,
    **preparation: Any,
) -> Iterator[Outcome]:
    """Export every model to every target, one after another, into ``out`` (``tlm-edge-out`` if ``None``).

    Each bundle is named NAME-TARGET-PRECISION; ``preparation`` goes to ``prepare``. Every error becomes an outcome.
    """
    names: set[str] = set()
    for model in models:
        try:
            prepared = prepare(model, **preparation)
            if prepared.source.name in names:
                raise UserError(f"another model of this call is named {prepared.source.name} too: export it by itself")
            names.add(prepared.source.name)
        except Exception as error:  # one model's fault must not lose the others
            yield from (Outcome(model, target, None, error) for target in targets)
            continue
        for target in targets:
            tell(f"exporting {prepared.source.name} to {target} {precision}")
            try:
                bundle = export_prepared(prepared, target, precision, None, options, tell, out or OUT)
                yield Outcome(model, target, bundle, None)
            except Exception as error:  # nor one target's
                yield Outcome(model, target, None, error)


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise what says that not all went well: a fault of ours as it is, else a ``UserError`` that counts."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in errors:
        if not isinstance(error, UserError | OSError):
            raise error
    if errors:
        raise UserError(f"{len(errors)} of {len(outcomes)} exports failed; the reasons stand above")
