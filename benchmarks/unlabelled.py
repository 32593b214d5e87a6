"""Texts without labels for a teacher to label: passages of Wikipedia, or sentences of it with two names marked.

A passage is the beginning of an article, or of one of its paragraphs. In a sentence with a relation two names, runs of
capitalised words, are marked as FewRel's entities are, and the text is lower-cased and its words set apart as FewRel's
are; which of the two is the head is drawn.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tlm_edge.data.fewrel import MARKERS
from tlm_edge.files import new_file

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_TOKEN = re.compile(r"\w+|[^\w\s]")
#: Words of a passage, and tokens of a sentence with a relation.
_PASSAGE, _RELATION = (12, 60), (8, 45)
#: Of an article; the longest take more time to split than they add.
_MOST_CHARACTERS = 20_000
#: What may stand between two capitalised words of a name.
_INSIDE = {"of", "the", "de", "von", "van", "and"}


def write_unlabelled(kind: str, folder: Path, out: Path, count: int, seed: int = 0) -> None:
    """Write ``count`` texts of a ``kind``, passages or relations, of the articles in ``folder`` as JSON Lines."""
    generator = random.Random(seed)
    drawn = {"passages": passages, "relations": relations}[kind]
    found = [text for article in read_articles(folder) for text in drawn(article, generator)]
    generator.shuffle(found)
    kept = islice(dict.fromkeys(found), count)
    with new_file(out) as temporary:
        temporary.write_text("".join(json.dumps({"text": text}) + "\n" for text in kept), encoding="utf-8")


def read_articles(folder: Path) -> Iterator[str]:
    """The texts of all articles in ``folder``."""
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines)


def passages(article: str, generator: random.Random) -> Iterator[str]:
    """The beginning of ``article`` and that of one more paragraph, where they are long enough."""
    paragraphs = [paragraph for paragraph in article.split("\n") if len(paragraph.split()) >= 2 * _PASSAGE[0]]
    for paragraph in [*paragraphs[:1], *generator.sample(paragraphs[1:], min(1, len(paragraphs[1:])))]:
        yield " ".join(paragraph.split()[: generator.randint(*_PASSAGE)])


def relations(article: str, generator: random.Random) -> Iterator[str]:
    """At most three sentences of ``article`` with two names marked."""
    sentences = _SENTENCE.split(" ".join(article[:_MOST_CHARACTERS].split()))
    marked = (_marked(sentence, generator) for sentence in generator.sample(sentences, len(sentences)))
    yield from islice(filter(None, marked), 3)


def _marked(sentence: str, generator: random.Random) -> str | None:
    tokens = _TOKEN.findall(sentence)
    names = _names(tokens)
    if not _RELATION[0] <= len(tokens) <= _RELATION[1] or len(names) < 2:
        return None
    spans = sorted(generator.sample(names, 2))
    marks = generator.sample([MARKERS[:2], MARKERS[2:]], 2)
    words = []
    for position in range(len(tokens) + 1):
        words += [closing for (_, end), (_, closing) in zip(spans, marks, strict=True) if end == position]
        words += [opening for (begin, _), (opening, _) in zip(spans, marks, strict=True) if begin == position]
        words += [token.lower() for token in tokens[position : position + 1]]
    return " ".join(words)


def _names(tokens: list[str]) -> list[tuple[int, int]]:
    """Begin and end of the runs of capitalised words; the first word of a sentence alone is none."""
    capital = [token[:1].isupper() for token in tokens] + [False, False]
    found, begin = [], None
    for position in range(len(tokens) + 1):
        inside = position < len(tokens) and tokens[position] in _INSIDE and capital[position + 1]
        if capital[position] and begin is None:
            begin = position
        elif begin is not None and not capital[position] and not inside:
            if position > 1:
                found.append((begin, position))
            begin = None
    return found
