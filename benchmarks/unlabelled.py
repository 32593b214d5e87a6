"""Texts without labels for a teacher to label: passages of Wikipedia, or sentences of it with two names marked.

    python benchmarks/unlabelled.py passages|relations OUT [--count 60000] [--seed 0]

Of the articles in ``wikipedia/`` of the data folder, drawn evenly. A passage is the beginning of an article, or of one
of its paragraphs. In ``relations`` two names of a sentence, runs of capitalised words, are marked as FewRel's entities
are, and the text is lower-cased and its words set apart as FewRel's are.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from environment import data_folder

from tlm_edge.data.fewrel import MARKERS

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_TOKEN = re.compile(r"\w+|[^\w\s]")
#: Words of a passage, and tokens of a sentence with a relation.
_PASSAGE, _RELATION = (12, 60), (8, 45)
#: What may stand between two capitalised words of a name.
_INSIDE = {"of", "the", "de", "von", "van", "and"}


def main() -> None:
    options = _options()
    generator = random.Random(options.seed)  # noqa: S311 (a draw, no secret)
    kinds: dict[str, Callable[[str, random.Random], Iterator[str]]] = {"passages": passages, "relations": relations}
    articles = list(read_articles(data_folder() / "wikipedia"))
    found = [text for article in articles for text in kinds[options.kind](article, generator)]
    generator.shuffle(found)
    kept = list(islice(dict.fromkeys(found), options.count))
    options.out.write_text("".join(json.dumps({"text": text}) + "\n" for text in kept), encoding="utf-8")
    print(f"{len(kept):,} of {len(found):,} {options.kind}: {options.out}")


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
    sentences = _SENTENCE.split(" ".join(article[:20_000].split()))
    found = (marked for sentence in generator.sample(sentences, len(sentences)) if (marked := _marked(sentence, generator)))
    yield from islice(found, 3)


def _marked(sentence: str, generator: random.Random) -> str | None:
    tokens = _TOKEN.findall(sentence)
    names = _names(tokens)
    if not _RELATION[0] <= len(tokens) <= _RELATION[1] or len(names) < 2:
        return None
    # Without order: which of the two is the head is for the marks to tell.
    (first, second) = sorted(generator.sample(names, 2))
    marks = [MARKERS[:2], MARKERS[2:]]
    generator.shuffle(marks)
    words = []
    for position, token in enumerate(tokens):
        for (begin, end), (opening, closing) in zip((first, second), marks, strict=True):
            words += [opening] * (position == begin)
            words += [closing] * (position == end)
        words.append(token.lower())
    for (_, end), (_, closing) in zip((first, second), marks, strict=True):
        words += [closing] * (end == len(tokens))
    return " ".join(words)


def _names(tokens: list[str]) -> list[tuple[int, int]]:
    """Begin and end of the runs of capitalised words; the first word of a sentence alone is none."""
    found, begin = [], None
    for position in range(len(tokens) + 1):
        token = tokens[position] if position < len(tokens) else ""
        named = token[:1].isupper()
        joins = token in _INSIDE and begin is not None and tokens[position + 1 : position + 2][:1] != []
        joins = joins and tokens[position + 1][:1].isupper()
        if named and begin is None:
            begin = position
        elif begin is not None and not named and not joins:
            if begin > 0 or position > 1:
                found.append((begin, position))
            begin = None
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["passages", "relations"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
