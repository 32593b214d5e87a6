"""A checkpoint or a committee as a classifier in PyTorch: texts in, labels out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.committee import is_committee, load_committee, tokenizer_home
from tlm_edge.modeling.members import Member, load_member
from tlm_edge.modeling.stored_cascade import read_cascade
from tlm_edge.runtime.cascade import Votes, vote_in_turn
from tlm_edge.runtime.classifier import Prediction, TokenIds, batches_by_length, to_predictions, votes_in_batches
from tlm_edge.runtime.tokenize import TextEncoder, pad
from tlm_edge.runtime.vote import soft_vote

#: Tokens of a batch, padding included.
_BATCH_TOKENS = 4096


class TorchClassifier:
    """Classifies texts with a checkpoint, or with a committee by its soft vote, in float32 on the CPU."""

    def __init__(self, folder: Path, threads: int | None = None, *, all_members: bool = False) -> None:
        """Load the model and its tokenizer; with ``all_members`` a cascade asks every member of every text.

        ``threads`` sets how many threads PyTorch computes with in this whole process, None leaves it as it is.
        Raises ``UserError`` if ``folder`` holds neither a fine-tuned checkpoint nor a whole committee.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.labels: tuple[str, ...]
        self.members: tuple[Member, ...]
        self.weights: tuple[float, ...]
        self.cascade, self.weights = None, ()
        if is_committee(folder):
            committee = load_committee(folder)
            self.members, self.weights = committee.members, committee.weights
            stored = None if all_members else read_cascade(folder)
            self.cascade = None if stored is None else stored.cascade
            self.labels, self.max_length = committee.labels, committee.max_length
            self._pad_token_id = committee.members[0].config.pad_token_id
        else:
            model = load_member(folder)
            self.members = (model,)
            self.labels, self.max_length = model.config.labels, model.config.max_position_embeddings
            self._pad_token_id = model.config.pad_token_id
        self.encoder = _text_encoder(folder, self.max_length, parallel=threads != 1)

    def votes(self, texts: Sequence[str]) -> Votes:
        """Probabilities (texts, labels), float32, rows in the order of the texts, and the members asked for each."""
        run_all = partial(map, self._vote)
        return votes_in_batches(texts, self.encoder.token_ids, len(self.labels), _BATCH_TOKENS, run_all)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probabilities of ``votes``."""
        return self.votes(texts).probabilities

    def predict(self, texts: Sequence[str], top_k: int | None = None) -> list[Prediction]:
        """One prediction a text, in their order; ``scores`` holds the ``top_k`` best labels, all if ``None``."""
        return to_predictions(texts, self.labels, self.votes(texts), top_k)

    def member_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Every member's logits, (texts, members, labels), rows in the order of the texts."""
        token_ids = self.encoder.token_ids(texts)
        logits = np.empty((len(texts), len(self.members), len(self.labels)), dtype=np.float32)
        for batch in batches_by_length([len(ids) for ids in token_ids], _BATCH_TOKENS):
            arrays = self._arrays([token_ids[index] for index in batch])
            logits[batch] = np.stack([self._logits(member, *arrays) for member in self.members], axis=1)
        return logits

    def _vote(self, token_ids: TokenIds) -> Votes:
        input_ids, attention_mask = self._arrays(token_ids)
        if self.cascade is not None:
            return vote_in_turn(
                self.cascade,
                len(input_ids),
                lambda member, rows: self._logits(self.members[member], input_ids[rows], attention_mask[rows]),
                self.weights,
            )
        logits = np.stack([self._logits(each, input_ids, attention_mask) for each in self.members], axis=1)
        return Votes(soft_vote(logits, self.weights))

    def _arrays(self, token_ids: TokenIds) -> tuple[Tensor, Tensor]:
        input_ids, attention_mask = (torch.from_numpy(array) for array in pad(token_ids, self._pad_token_id))
        return input_ids, attention_mask

    @torch.inference_mode()
    def _logits(self, member: Member, input_ids: Tensor, attention_mask: Tensor) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = member(input_ids, attention_mask).numpy()
        return logits


def _text_encoder(folder: Path, max_length: int, *, parallel: bool) -> TextEncoder:
    folder = tokenizer_home(folder)
    file = folder / "tokenizer.json"
    if file.is_file():
        return TextEncoder(file, max_length, parallel=parallel)
    # A checkpoint from elsewhere may have only the older vocab.txt.
    with tempfile.TemporaryDirectory() as temporary:
        converted = Path(temporary) / "tokenizer.json"
        load_tokenizer(folder).save(str(converted))
        return TextEncoder(converted, max_length, parallel=parallel)
