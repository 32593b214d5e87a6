"""How far the tokens of a corpus are those of a task, and corpora of equal size that differ in just that.

*Tiny language models* (arXiv 2507.14871) finds pre-training worth more with "greater overlap between tokens in the
pre-training and classification datasets"; how it counts could not be had. What is meant here stands in ``Overlap``.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tlm_edge.data.corpus import documents
from tlm_edge.data.fewrel import MARKERS
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.files import new_folder, write_json
from tlm_edge.runtime.errors import UserError

#: The corpora that ``write_overlap_corpora`` makes.
HIGH, LOW = "overlap-high", "overlap-low"
#: A token that a corpus has so often can be learned from it.
OFTEN = 100
# About the 128 tokens that the paper takes of each article; what remains of one counts from half of that.
_PASSAGE_WORDS, _SHORTEST = 96, 48
_BATCH = 1024
_WORD = re.compile(r"\S+")
_MARKERS = re.compile("|".join(map(re.escape, MARKERS)))


@dataclass(frozen=True)
class Overlap:
    """What a corpus and a task's training texts have in common, all by one tokenizer; shares are 0 … 1."""

    corpus_tokens: int
    task_tokens: int
    #: How many of the vocabulary's tokens the task has.
    task_distinct: int
    #: The share of those that the corpus has too; near 1 for any corpus once the vocabulary is small.
    seen: float
    #: The share of those that the corpus has at least ``OFTEN`` times.
    seen_often: float
    #: Σ over the vocabulary of the smaller of the two relative frequencies: 1 if all tokens are equally frequent in
    #: both, 0 if they have none in common. It doesn't depend on the sizes as such; the experiment varies this one.
    shared: float


def measure_overlap(corpus_texts: Iterable[str], task_texts: Iterable[str], tokenizer: str | Path) -> Overlap:
    """The overlap of a corpus with a task's training texts (FewRel's markers left out), by the ``tokenizer``'s tokens.

    Raises ``UserError`` if either has no tokens.
    """
    return overlap_of_counts(count_tokens(corpus_texts, tokenizer), count_tokens(unmarked(task_texts), tokenizer))


def write_overlap_corpora(
    sources: Sequence[str], task_texts: Sequence[str], tokenizer: str | Path, tokens: int, out: Path
) -> dict[str, Overlap]:
    """Write two corpora of ``tokens`` tokens each, of high and of low overlap with a task, into the new folder ``out``.

    ``sources`` (see ``corpus.documents``) are cut into passages of 96 words, which are ranked by their mean
    log(p(token | task) / p(token | sources)), the unigram form of Moore and Lewis's cross-entropy difference (ACL
    2010), probabilities with add-one smoothing. The first ``tokens`` tokens of that order become
    ``overlap-high.jsonl.gz``, the last ``overlap-low.jsonl.gz``, to within a passage; both keep the sources' order and
    have no passage in common. ``overlap.json`` tells what they came to, which is returned too. What else differs with
    the overlap (subjects, names, tables) differs here as well: it's a selection, not an intervention.

    Pass the texts of the task's training split, never its test texts. Memory grows by 2 or 4 bytes a token of the
    sources. Raises ``UserError`` if the sources are too small for both.
    """
    loaded = load_tokenizer(tokenizer)
    passages = _Passages.of(documents(sources), loaded)
    if 2 * tokens > len(passages.ids):
        raise UserError(
            f"two corpora of {tokens:,} tokens don't fit into the {len(passages.ids):,} tokens of "
            f"{', '.join(sources)}; ask for fewer, or add sources"
        )
    task = count_tokens(unmarked(task_texts), tokenizer)
    order = np.argsort(-passages.likeness(task), kind="stable")
    chosen = {HIGH: passages.first(order, tokens), LOW: passages.first(order[::-1], tokens)}
    overlaps = {name: overlap_of_counts(passages.count(picked), task) for name, picked in chosen.items()}
    with new_folder(out) as folder:
        with ExitStack() as stack:
            files = {name: stack.enter_context(_writer(folder / f"{name}.jsonl.gz")) for name in chosen}
            for number, text in enumerate(_cut(documents(sources))):
                for name, picked in chosen.items():
                    if picked[number]:
                        files[name].write(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
        write_json(folder / "overlap.json", {name: asdict(overlap) for name, overlap in overlaps.items()})
    return overlaps


@dataclass(frozen=True)
class _Passages:
    """Every passage's tokens, one after another; passage i is ``ids[starts[i]:starts[i + 1]]``."""

    ids: NDArray[np.unsignedinteger]
    starts: NDArray[np.int64]
    vocabulary: int

    @classmethod
    def of(cls, texts: Iterable[str], tokenizer: Tokenizer) -> _Passages:
        size = tokenizer.get_vocab_size()
        dtype = np.uint16 if size <= 1 << 16 else np.uint32
        rows = [np.array(ids, dtype) for ids in _encoded(_cut(texts), tokenizer)]
        if not rows:
            raise UserError(f"the corpus has no text of {_SHORTEST} words or more; give longer documents")
        return cls(np.concatenate(rows), np.cumsum([0, *map(len, rows)]), size)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    def likeness(self, task: NDArray[np.int64]) -> NDArray[np.float64]:
        """Each passage's mean log ratio of its tokens' probabilities in the task and in all passages, (passages,)."""
        own = np.bincount(self.ids, minlength=self.vocabulary)
        ratio = np.log((task + 1) / (task.sum() + self.vocabulary)) - np.log((own + 1) / (own.sum() + self.vocabulary))
        sums = np.concatenate([[0.0], np.cumsum(ratio[self.ids])])
        return (sums[self.starts[1:]] - sums[self.starts[:-1]]) / self.lengths.clip(1)

    def first(self, order: NDArray[np.int64], tokens: int) -> NDArray[np.bool_]:
        """Which passages come first in ``order`` until they have ``tokens`` tokens, (passages,)."""
        picked = np.zeros(len(order), dtype=bool)
        # Never a token more: with half of all tokens each, one passage would be in both corpora.
        picked[order[np.cumsum(self.lengths[order]) <= tokens]] = True
        return picked

    def count(self, picked: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(self.ids[np.repeat(picked, self.lengths)], minlength=self.vocabulary)


def overlap_of_counts(corpus: NDArray[np.int64], task: NDArray[np.int64]) -> Overlap:
    """The overlap of a corpus and a task from how often each has every token of the vocabulary, (vocabulary,).

    Raises ``UserError`` if either has no tokens.
    """
    if not corpus.sum() or not task.sum():
        raise UserError(f"the {'task' if corpus.sum() else 'corpus'} has no tokens: check its texts and the tokenizer")
    distinct = task > 0
    return Overlap(
        corpus_tokens=int(corpus.sum()),
        task_tokens=int(task.sum()),
        task_distinct=int(distinct.sum()),
        seen=float((corpus[distinct] > 0).mean()),
        seen_often=float((corpus[distinct] >= OFTEN).mean()),
        shared=float(np.minimum(corpus / corpus.sum(), task / task.sum()).sum()),
    )


def count_tokens(texts: Iterable[str], tokenizer: str | Path) -> NDArray[np.int64]:
    """How often the texts have each token of the vocabulary, (vocabulary,)."""
    loaded = load_tokenizer(tokenizer)
    counts = np.zeros(loaded.get_vocab_size(), dtype=np.int64)
    for ids in _encoded(texts, loaded):
        counts += np.bincount(np.array(ids, dtype=np.int64), minlength=len(counts))
    return counts


def _encoded(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Token ids of each text, without special tokens."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield from (one.ids for one in tokenizer.encode_batch_fast(batch, add_special_tokens=False))
            batch = []
    if batch:
        yield from (one.ids for one in tokenizer.encode_batch_fast(batch, add_special_tokens=False))


def _cut(texts: Iterable[str]) -> Iterator[str]:
    """The passages of texts, in order."""
    for text in texts:
        words = [match.start() for match in _WORD.finditer(text)]
        for first in range(0, len(words), _PASSAGE_WORDS):
            if len(words) - first >= _SHORTEST:
                end = words[first + _PASSAGE_WORDS] if first + _PASSAGE_WORDS < len(words) else len(text)
                yield text[words[first] : end].rstrip()


def unmarked(texts: Iterable[str]) -> Iterator[str]:
    """Texts without FewRel's markers."""
    return (_MARKERS.sub(" ", text) for text in texts)


def _writer(path: Path) -> gzip.GzipFile:
    # Without the time, so that the same corpora are the same bytes.
    return gzip.GzipFile(path, "wb", mtime=0)
