"""A checkpoint or a committee as a classifier in PyTorch: texts in, labels out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.committee import SoftVote, is_committee, load_committee
from tlm_edge.modeling.foreign import Member, load_any_classifier
from tlm_edge.runtime.classifier import Prediction, batches_by_length, to_predictions
from tlm_edge.runtime.tokenize import TextEncoder, pad

#: Tokens of a batch, padding included.
_BATCH_TOKENS = 4096


class TorchClassifier:
    """Classifies texts with a checkpoint, or with a committee by its soft vote, in float32 on the CPU."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Load the model and its tokenizer.

        ``threads`` sets how many threads PyTorch computes with in this whole process, None leaves it as it is.
        Raises ``UserError`` if ``folder`` holds neither a fine-tuned checkpoint nor a whole committee.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.labels: tuple[str, ...]
        self.model: Member | SoftVote
        if is_committee(folder):
            committee = load_committee(folder)
            self.model = SoftVote(committee.members).eval()
            self.labels, self.max_length = committee.labels, committee.max_length
            self._pad_token_id = committee.members[0].config.pad_token_id
        else:
            self.model = load_any_classifier(folder)
            self.labels, self.max_length = self.model.config.labels, self.model.config.max_position_embeddings
            self._pad_token_id = self.model.config.pad_token_id
        self.encoder = _text_encoder(folder, self.max_length, parallel=threads != 1)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities (texts, labels), float32, rows in the order of the texts."""
        token_ids = self.encoder.token_ids(texts)
        probabilities = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        for batch in batches_by_length([len(ids) for ids in token_ids], _BATCH_TOKENS):
            probabilities[batch] = self._batch_probabilities([token_ids[index] for index in batch])
        return probabilities

    def predict(self, texts: Sequence[str], top_k: int | None = None) -> list[Prediction]:
        """One prediction a text, in their order; ``scores`` holds the ``top_k`` best labels, all if ``None``."""
        return to_predictions(texts, self.labels, self.probabilities(texts), top_k)

    @torch.inference_mode()
    def _batch_probabilities(self, token_ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        input_ids, attention_mask = (torch.from_numpy(array) for array in pad(token_ids, self._pad_token_id))
        output = self.model(input_ids, attention_mask)
        vote = output[0] if isinstance(self.model, SoftVote) else output.softmax(dim=-1)
        probabilities: NDArray[np.float32] = vote.numpy()
        return probabilities


def _text_encoder(folder: Path, max_length: int, *, parallel: bool) -> TextEncoder:
    file = folder / "tokenizer.json"
    if file.is_file():
        return TextEncoder(file, max_length, parallel=parallel)
    # A checkpoint from elsewhere may have only the older vocab.txt.
    with tempfile.TemporaryDirectory() as temporary:
        converted = Path(temporary) / "tokenizer.json"
        load_tokenizer(folder).save(str(converted))
        return TextEncoder(converted, max_length, parallel=parallel)
