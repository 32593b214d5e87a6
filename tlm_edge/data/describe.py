"""What a labelled data set holds: balance, lengths, duplicates, unknown tokens, overlap with a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tlm_edge.data.splits import unused_files
from tlm_edge.data.tasks import Examples, Task
from tlm_edge.data.token_cache import load_token_cache
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder, shipped_names

#: Least numbers of times that a token is seen in the corpus, for which the overlap is told.
SEEN_AT_LEAST = (1, 10, 100, 1000)
PERCENTILES = (50, 90, 95, 99)

_TEXTS_AT_ONCE = 1000
_TOKENS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Lengths:
    """Token counts of a split's texts, [CLS] and [SEP] included."""

    #: percentile → tokens
    percentiles: dict[int, int]
    mean: float
    longest: int
    #: Unknown tokens as a share of all but the special ones.
    unknown_rate: float


@dataclass(frozen=True)
class SplitDescription:
    """One split: its rows, their labels and what is wrong with its texts."""

    rows: int
    #: label → rows
    labels: dict[str, int]
    #: Rows whose text is blank.
    blank: int
    #: Rows whose text stands in an earlier row of the split (case and white space aside).
    duplicates: int
    #: Rows whose text stands in the split ``train``; None for that split itself and where there is none.
    in_train: int | None
    #: None without a tokenizer.
    lengths: Lengths | None


@dataclass(frozen=True)
class TokenOverlap:
    """How much of a task's tokens a corpus has, for one number of times that it has them."""

    seen_at_least: int
    #: Share of the task's distinct tokens.
    types: float
    #: Share of the task's token occurrences.
    occurrences: float


@dataclass(frozen=True)
class Description:
    """All that ``tlm-edge data describe`` tells."""

    source: str
    #: Files of a folder that hold rows, perhaps, but are no split.
    unused: tuple[str, ...]
    tokenizer: str | None
    splits: dict[str, SplitDescription]
    #: Rows, over all splits, whose text also occurs with another label.
    contradictory: int
    #: Against the corpus; empty without one.
    overlap: tuple[TokenOverlap, ...]
    #: What to repair before training on this data.
    warnings: tuple[str, ...]


def describe(
    task: Task,
    source: str,
    *,
    tokenizer: str | Path | None = None,
    corpus: Sequence[str] = (),
    articles: int | None = None,
    first_tokens: int | None = None,
) -> Description:
    """Describe ``task``, in tokens of ``tokenizer``, against the documents of ``corpus``.

    ``articles`` and ``first_tokens`` cut the corpus as pre-training does. Raises ``UserError`` for a tokenizer or a
    corpus that can't be read, and for a corpus without a tokenizer.
    """
    if corpus and tokenizer is None:
        raise UserError("the overlap with a corpus is counted in tokens: name a tokenizer with --tokenizer")
    loaded = None if tokenizer is None else load_tokenizer(tokenizer)
    if loaded is not None and task.markers:
        loaded.add_special_tokens(list(task.markers))
    hashes = {name: _text_hashes(split.texts) for name, split in task.splits.items()}
    splits = {
        name: _describe_split(
            split,
            task.labels,
            hashes[name],
            None if name == "train" else hashes.get("train"),
            None if loaded is None else _lengths(loaded, split.texts),
        )
        for name, split in task.splits.items()
    }
    overlap: tuple[TokenOverlap, ...] = ()
    if loaded is not None and tokenizer is not None and corpus:
        cache = load_token_cache(corpus, tokenizer, articles=articles, first_tokens=first_tokens)
        texts = task.splits["train" if "train" in task.splits else next(iter(task.splits))].texts
        size = loaded.get_vocab_size()
        counts = _count(_encode(loaded, texts)[0], size)
        counts[_special(loaded)] = 0
        overlap = token_overlap(counts, _count(cache.tokens, size))
    contradictory = _contradictory(task, hashes)
    return Description(
        source=source,
        unused=unused_files(source),
        tokenizer=None if tokenizer is None else str(tokenizer),
        splits=splits,
        contradictory=contradictory,
        overlap=overlap,
        warnings=tuple(_warnings(splits, contradictory)),
    )


def tokenizer_or_default(tokenizer: str | None) -> str | None:
    """``tokenizer``, or the one of the first shipped model that has one; None if no model is shipped."""
    if tokenizer is not None:
        return tokenizer
    folders = (models_folder() / name for name in shipped_names())
    return next((str(folder) for folder in folders if (folder / "tokenizer.json").is_file()), None)


def token_overlap(
    task_counts: NDArray[np.int64], corpus_counts: NDArray[np.int64], seen_at_least: Iterable[int] = SEEN_AT_LEAST
) -> tuple[TokenOverlap, ...]:
    """The overlap of a task's tokens with a corpus', from occurrences by token id (vocabulary,).

    With n(v) occurrences of token v in the task's training texts and c(v) in the corpus, special and unknown tokens
    left out, and V the tokens with n(v) > 0, for each k in ``seen_at_least``::

        types(k)       = |{v in V: c(v) >= k}| / |V|
        occurrences(k) = sum of n(v) over {v in V: c(v) >= k}  /  sum of n(v) over V

    "Overlap between tokens in the pre-training and classification datasets" is a variable of *Tiny language models*
    (Gross et al., arXiv 2507.14871), which finds that the gain by pre-training grows with it. The formula is ours: the
    paper's own could not be consulted, so don't set these figures beside its.
    """
    present = task_counts > 0
    types, occurrences = int(present.sum()), int(task_counts.sum())
    result = []
    for k in seen_at_least:
        seen = present & (corpus_counts >= k)
        result.append(
            TokenOverlap(k, int(seen.sum()) / max(types, 1), int(task_counts[seen].sum()) / max(occurrences, 1))
        )
    return tuple(result)


def _describe_split(
    split: Examples,
    labels: Sequence[str],
    hashes: NDArray[np.uint64],
    train: NDArray[np.uint64] | None,
    lengths: Lengths | None,
) -> SplitDescription:
    counts = np.bincount(split.labels, minlength=len(labels))
    return SplitDescription(
        rows=len(split),
        labels={label: int(count) for label, count in zip(labels, counts, strict=True)},
        blank=sum(not text.strip() for text in split.texts),
        duplicates=len(hashes) - len(np.unique(hashes)),
        in_train=None if train is None else int(np.isin(hashes, train).sum()),
        lengths=lengths,
    )


def _text_hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Eight bytes a text, equal for texts that differ in case and white space only."""
    digests = (blake2b(" ".join(text.casefold().split()).encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _contradictory(task: Task, hashes: Mapping[str, NDArray[np.uint64]]) -> int:
    texts = np.concatenate([hashes[name] for name in task.splits])
    labels = np.concatenate([split.labels for split in task.splits.values()])
    _, text_of_row = np.unique(texts, return_inverse=True)
    lowest = np.full(len(texts), len(task.labels))
    highest = np.full(len(texts), -1)
    np.minimum.at(lowest, text_of_row, labels)
    np.maximum.at(highest, text_of_row, labels)
    return int((lowest < highest)[text_of_row].sum())


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Token ids of all texts, one after another (total,), and the length of each (texts,)."""
    ids, lengths = [np.empty(0, dtype=np.int32)], []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        for encoding in tokenizer.encode_batch_fast(list(texts[start : start + _TEXTS_AT_ONCE])):
            ids.append(np.array(encoding.ids, dtype=np.int32))
            lengths.append(len(encoding.ids))
    return np.concatenate(ids), np.array(lengths, dtype=np.int64)


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> Lengths:
    ids, lengths = _encode(tokenizer, texts)
    counts = _count(ids, tokenizer.get_vocab_size())
    unknown = _unknown(tokenizer)
    unknowns = 0 if unknown is None else int(counts[unknown])
    counts[_special(tokenizer)] = 0
    return Lengths(
        percentiles={q: int(np.percentile(lengths, q, method="higher")) for q in PERCENTILES},
        mean=float(lengths.mean()),
        longest=int(lengths.max()),
        unknown_rate=unknowns / max(int(counts.sum()) + unknowns, 1),
    )


def _count(ids: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, len(ids), _TOKENS_AT_ONCE):
        counts += np.bincount(ids[start : start + _TOKENS_AT_ONCE], minlength=size)
    return counts


def _special(tokenizer: Tokenizer) -> list[int]:
    """Ids of the special tokens, the unknown one among them."""
    return [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]


def _unknown(tokenizer: Tokenizer) -> int | None:
    name = getattr(tokenizer.model, "unk_token", None)
    return None if name is None else tokenizer.token_to_id(name)


def _warnings(splits: Mapping[str, SplitDescription], contradictory: int) -> Iterator[str]:
    for name, split in splits.items():
        if split.in_train:
            yield (
                f"{split.in_train:,} of {split.rows:,} rows of the split '{name}' occur in 'train': "
                "scores on them flatter the model; take them out of 'train'"
            )
        if split.duplicates:
            yield f"{split.duplicates:,} rows of the split '{name}' repeat an earlier row of it"
        if split.blank:
            yield f"{split.blank:,} rows of the split '{name}' have a blank text"
    if contradictory:
        yield f"{contradictory:,} rows have a text that also occurs with another label"
