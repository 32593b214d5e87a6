"""FewRel's official JSON: relation classification, with the two entities marked in the text.

Layout (Han et al., EMNLP 2018, arXiv 1810.10147): ``{relation: [{"tokens": [...], "h": [name, id, [[positions]]],
"t": [name, id, [[positions]]]}, ...]}``. The markers are those of *Matching the Blanks* (arXiv 1906.03158).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tlm_edge.runtime.errors import UserError

#: Special tokens around the head and the tail entity.
MARKERS = ("[E1]", "[/E1]", "[E2]", "[/E2]")


def is_fewrel(content: Any) -> bool:
    """Whether parsed JSON has FewRel's layout, judged by its first instance."""
    if not isinstance(content, dict) or not content:
        return False
    first = next(iter(content.values()))
    return isinstance(first, list) and all(
        isinstance(one, dict) and {"tokens", "h", "t"} <= one.keys() for one in first[:1]
    )


def instances(content: dict[str, list[Any]], file: Path) -> Iterator[tuple[str, str, str]]:
    """Yield ``(marked text, relation, place)`` of every instance.

    Entities are marked at their first mention. Where its positions lie outside the tokens, as in some copies that were
    tokenised anew, the entity's name is looked up in the tokens. Raises ``UserError``, naming relation and row, for
    instances that are not of FewRel's layout or hold no such entity.
    """
    for relation, rows in content.items():
        if not isinstance(rows, list):
            raise UserError(f"{file}, relation {relation}: not a list of instances, as FewRel's layout has it")
        for number, row in enumerate(rows, 1):
            place = f"{file}, relation {relation}, row {number}"
            yield _marked(row, place), relation, place


def _marked(row: Any, place: str) -> str:
    try:
        tokens = row["tokens"]
        entities = [(str(row[key][0]), [int(position) for position in row[key][2][0]]) for key in ("h", "t")]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f'{place}: no "tokens" with "h" and "t" positions, as FewRel\'s layout has it') from error
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise UserError(f'{place}: "tokens" is not a list of strings; repair or drop the row')
    head, tail = (_span(tokens, name, positions, place) for name, positions in entities)
    opening_head, closing_head, opening_tail, closing_tail = MARKERS
    words: list[str] = []
    for position, token in enumerate(tokens):
        # Where both entities begin or end at one token, the longer one stands outside, so that the markers nest.
        opening = [
            (last, mark) for (first, last), mark in ((head, opening_head), (tail, opening_tail)) if first == position
        ]
        closing = [
            (first, mark) for (first, last), mark in ((tail, closing_tail), (head, closing_head)) if last == position
        ]
        words += [mark for _, mark in sorted(opening, key=lambda one: -one[0])]
        words.append(token)
        words += [mark for _, mark in sorted(closing, key=lambda one: -one[0])]
    return " ".join(words)


def _span(tokens: list[str], name: str, positions: list[int], place: str) -> tuple[int, int]:
    """First and last position of an entity."""
    if positions and min(positions) >= 0 and max(positions) < len(tokens):
        return min(positions), max(positions)
    wanted = name.lower().split()
    folded = [token.lower() for token in tokens]
    found = [i for i in range(len(tokens) - len(wanted) + 1) if wanted and folded[i : i + len(wanted)] == wanted]
    if not found:
        raise UserError(
            f"{place}: the positions {positions} of {name!r} are not among the {len(tokens)} tokens; repair or drop it"
        )
    nearest = min(found, key=lambda start: abs(start - min(positions, default=0)))
    return nearest, nearest + len(wanted) - 1
