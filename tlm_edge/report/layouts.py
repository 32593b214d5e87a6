"""How the members of a committee are best laid out on a device, and why: fused in one file, apart, or as a cascade."""

from __future__ import annotations

from collections.abc import Sequence

from tlm_edge.bench.record import Record
from tlm_edge.report.comparison import Group, ratio
from tlm_edge.report.words import bounds, model_name, number, told


def layout_findings(group: Group, records: Sequence[Record]) -> list[str]:
    """A sentence for every model, target and precision of ``group`` that was measured in several layouts.

    ``records`` are those of the whole benchmark: with one thread's among them, what several gain can be told.
    """
    families: dict[tuple[str, str, str], list[Record]] = {}
    for record in group.records:
        facts = record.bundle
        families.setdefault((facts.source_sha256, facts.target, facts.precision), []).append(record)
    return [_finding(family, records) for family in families.values() if len(family) > 1]


def _finding(family: Sequence[Record], records: Sequence[Record]) -> str:
    best = min(family, key=_model_ms)
    slower = [_slower(other, best) for other in family if other is not best]
    where = f"{best.runtime.threads} thread" + ("s" if best.runtime.threads != 1 else "")
    facts = best.bundle
    head = (
        f"Of {facts.source} {facts.target} {facts.precision}, {facts.layout} is the fastest layout on {where}: "
        f"{told(best, 'model_p50')} ms a text by the model"
    )
    why = "; ".join(f"{record.bundle.layout}: {reason}" for record in family if (reason := _reason(record, records)))
    return f"{head}; {', '.join(slower)}." + (f" {why[0].upper()}{why[1:]}." if why else "")


def _slower(other: Record, best: Record) -> str:
    longer = ratio(other, best, "model")
    verdict = " (no difference is shown)" if longer.low is not None and longer.low <= 1 else ""
    return f"{other.bundle.layout} takes {bounds(longer)} that{verdict}"


def _reason(record: Record, records: Sequence[Record]) -> str:
    """What the layout's time is made of, as far as the figures tell."""
    members, threads = record.bundle.members, record.runtime.threads
    asked = record.figures.get("members")
    if record.bundle.layout == "cascade" and asked is not None and asked.value is not None:
        return f"a text asks {number(asked.value)} of {members} members"
    if record.bundle.layout != "apart":
        return ""
    if threads == 1:
        return f"{members} calls of the runtime instead of one"
    alone = [one for one in records if model_name(one) == model_name(record) and _same_but_threads(one, record)]
    rounds = -(-members // threads)
    share = f"{members} members on {threads} threads wait for {rounds} of them"
    if not alone:
        return share
    ideal = _model_ms(alone[0]) * rounds / members
    rest = _model_ms(record) - ideal
    if rest <= 0:
        return f"{share}, {number(ideal)} ms"
    return f"{share}, {number(ideal)} ms; handing over to threads costs the other {number(rest)} ms"


def _same_but_threads(one: Record, other: Record) -> bool:
    """Whether ``one`` is the same measurement on one thread."""
    return one.runtime.threads == 1 and (one.device.name, one.texts.length, one.session.id) == (
        other.device.name,
        other.texts.length,
        other.session.id,
    )


def _model_ms(record: Record) -> float:
    return record.figures["model_p50"].value or 0.0
