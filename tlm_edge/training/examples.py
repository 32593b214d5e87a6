"""Labelled texts as token ids: encoded once, split, ordered into batches of similar length, and masked at random."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tlm_edge.runtime.tokenize import pad

#: Texts tokenized at once.
_CHUNK = 4096
#: Batches among which rows are sorted by length: enough for little padding, few enough to stay shuffled.
_BATCHES_A_WINDOW = 50


@dataclass(frozen=True)
class EncodedExamples:
    """Texts as token ids laid end to end, with their labels and the number of the source each came from.

    ``tokens`` (total,), ``starts`` (n + 1,), ``labels`` (n,), ``sources`` (n,). ``targets`` (n, labels) are the
    probabilities to learn where they are not just the labels.
    """

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    targets: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, (n,)."""
        return np.diff(self.starts)

    def ids(self, index: int) -> NDArray[np.int32]:
        """The token ids of one row."""
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    def batch(self, indices: NDArray[np.int64], pad_token_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``input_ids`` and ``attention_mask`` of some rows, int64 (rows, longest), padded on the right."""
        return pad([self.ids(index) for index in indices], pad_token_id)

    def select(self, indices: NDArray[np.int64]) -> EncodedExamples:
        """Only the rows at ``indices``, in that order."""
        starts = np.concatenate([[0], np.cumsum(self.lengths[indices])]).astype(np.int64)
        tokens = np.concatenate([self.ids(index) for index in indices]) if len(indices) else self.tokens[:0]
        targets = None if self.targets is None else self.targets[indices]
        return EncodedExamples(tokens, starts, self.labels[indices], self.sources[indices], targets)

    def joined(self, other: EncodedExamples) -> EncodedExamples:
        """These rows and those of ``other``, which has targets if these have."""
        both = self.targets is not None and other.targets is not None
        return EncodedExamples(
            np.concatenate([self.tokens, other.tokens]),
            np.concatenate([self.starts, other.starts[1:] + self.starts[-1]]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.sources, other.sources]),
            np.concatenate([self.targets, other.targets]) if both else None,
        )

    def digest(self) -> str:
        """SHA-256 of tokens, labels and targets: two runs with the same digest read the same rows."""
        content = hashlib.sha256()
        for array in (self.tokens, self.starts, self.labels, *(() if self.targets is None else (self.targets,))):
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()


def encode_examples(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    labels: NDArray[np.int64],
    max_length: int,
    *,
    sources: NDArray[np.int64] | None = None,
    targets: NDArray[np.float32] | None = None,
) -> EncodedExamples:
    """Tokenize ``texts``, special tokens included, cut to ``max_length`` tokens."""
    tokenizer.enable_truncation(max_length)
    rows: list[NDArray[np.int32]] = []
    for first in range(0, len(texts), _CHUNK):
        encodings = tokenizer.encode_batch_fast(list(texts[first : first + _CHUNK]))
        rows.extend(np.array(encoding.ids, dtype=np.int32) for encoding in encodings)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    tokens = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
    if sources is None:
        sources = np.zeros(len(rows), dtype=np.int64)
    return EncodedExamples(tokens, starts, np.asarray(labels, dtype=np.int64), sources, targets)


def split_validation(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers for training and for validation, sorted; every label is drawn from in proportion.

    Rows of a label that occurs once are for training. Validation gets at least as many rows as there are other
    labels, or none at all if training would not keep as many.
    """
    from sklearn.model_selection import train_test_split

    values, counts = np.unique(labels, return_counts=True)
    divisible = np.flatnonzero(np.isin(labels, values[counts > 1]))
    kinds = int((counts > 1).sum())
    wanted = max(round(share * len(labels)), kinds)
    wanted = min(wanted, len(divisible) - kinds)
    if not kinds or wanted < kinds:
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    _, validation = train_test_split(divisible, test_size=wanted, random_state=seed, stratify=labels[divisible])
    validation = np.sort(validation)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def epoch_batches(
    examples: EncodedExamples, batch_size: int, *, class_balance: bool, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """The batches of row numbers of one epoch, a pure function of its arguments.

    Rows are shuffled, sorted by length within windows of fifty batches so that little is padded, and the batches
    shuffled again. There are ⌈rows / batch_size⌉ of them.
    """
    generator = np.random.default_rng([seed, epoch, 11])
    rows = _balanced_rows(examples, generator) if class_balance else np.arange(len(examples))
    order = generator.permutation(rows)
    lengths = examples.lengths
    batches = []
    for first in range(0, len(order), batch_size * _BATCHES_A_WINDOW):
        window = order[first : first + batch_size * _BATCHES_A_WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[start : start + batch_size] for start in range(0, len(window), batch_size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def _balanced_rows(examples: EncodedExamples, generator: np.random.Generator) -> NDArray[np.int64]:
    """As many rows as there are, with every label equally often within each source.

    Balancing within the source keeps the form of a text (cased or not, with a title or not) from telling its label.
    """
    chosen = []
    for source in np.unique(examples.sources):
        members = np.flatnonzero(examples.sources == source)
        values = np.unique(examples.labels[members])
        shares = [len(part) for part in np.array_split(members, len(values))]
        for value, share in zip(generator.permutation(values), shares, strict=True):
            of_label = members[examples.labels[members] == value]
            repeats = -(-share // len(of_label))
            chosen.append(np.concatenate([generator.permutation(of_label) for _ in range(repeats)])[:share])
    return np.concatenate(chosen)


def mask_at_random(
    input_ids: NDArray[np.int64],
    *,
    probability: float,
    special: NDArray[np.int64],
    mask: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """``input_ids`` with each token that is not ``special`` replaced by ``mask`` with ``probability``."""
    hidden = (generator.random(input_ids.shape) < probability) & ~np.isin(input_ids, special)
    return np.where(hidden, mask, input_ids)
