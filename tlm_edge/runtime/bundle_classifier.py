"""A bundle as a classifier: texts in, labels out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.cascade import Votes
from tlm_edge.runtime.classifier import Prediction, TokenIds, to_predictions, votes_in_batches
from tlm_edge.runtime.cores import usable_cores
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE
from tlm_edge.runtime.pool import SessionPool
from tlm_edge.runtime.session import Session
from tlm_edge.runtime.sessions import open_session
from tlm_edge.runtime.tokenize import TextEncoder, pad
from tlm_edge.runtime.vote import softmax

#: Tokens of a batch, padding included; more gains nothing and leaves the cache.
_BATCH_TOKENS = 2048


class BundleClassifier:
    """Classifies texts with a bundle; one instance may be used from several threads at once."""

    def __init__(self, bundle: Bundle, threads: int | None = None, *, all_members: bool = False):
        """Load tokenizer and model, to compute with ``threads`` threads, all cores if ``None``.

        With ``all_members`` a cascade asks every member of every text.
        Raises ``UserError`` if the tokenizer or the model file can't be loaded, or the model has other labels.
        """
        self.bundle = bundle
        self.labels = bundle.manifest.labels
        self.max_length = bundle.manifest.max_length
        self.encoder = TextEncoder(bundle.tokenizer_file, self.max_length, parallel=threads != 1)
        self.session = open_session(bundle, threads, all_members=all_members)
        for given in {output.shape[-1] for output in self.session.outputs() if output.shape}:
            if isinstance(given, int) and given != len(self.labels):
                raise UserError(
                    f"{bundle.path}: its {MANIFEST_FILE} names {len(self.labels)} labels but the model gives {given}: "
                    "copy the bundle again"
                )

        cores = threads or usable_cores()
        self._pool = SessionPool(lambda: open_session(bundle, 1, all_members=all_members), cores) if cores > 1 else None

    def outputs(self, token_ids: TokenIds) -> dict[str, np.ndarray]:
        """The model's outputs for one batch of token ids, padded to the longest."""
        return self._outputs(self.session, token_ids)

    def _outputs(self, session: Session, token_ids: TokenIds) -> dict[str, np.ndarray]:
        return session.run(*pad(token_ids, self.bundle.manifest.pad_token_id))

    def vote(self, token_ids: TokenIds) -> Votes:
        """The votes on one batch of token ids."""
        return self._vote(self.session, token_ids)

    def _vote(self, session: Session, token_ids: TokenIds) -> Votes:
        outputs = self._outputs(session, token_ids)
        probabilities = outputs["probabilities"] if "probabilities" in outputs else softmax(outputs["logits"])
        return Votes(probabilities, outputs.get("members_used"))

    def votes(self, texts: Sequence[str]) -> Votes:
        """Probabilities (texts, labels), float32, rows in the order of the texts, and the members asked for each."""
        # To sort one text into batches would take a fifth of its time.
        if len(texts) == 1:
            return self.vote(self.encoder.token_ids(texts))
        return votes_in_batches(texts, self.encoder.token_ids, len(self.labels), _BATCH_TOKENS, self._votes)

    def _votes(self, batches: Iterator[TokenIds]) -> Iterable[Votes]:
        if self._pool is None:
            return map(self.vote, batches)
        first = list(islice(batches, 2))
        return self._pool.map(self._vote, chain(first, batches)) if len(first) == 2 else map(self.vote, first)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probabilities of ``votes``."""
        return self.votes(texts).probabilities

    def predict(self, texts: Sequence[str], top_k: int | None = None) -> list[Prediction]:
        """One prediction a text, in their order; ``scores`` holds the ``top_k`` best labels, all if ``None``."""
        return to_predictions(texts, self.labels, self.votes(texts), top_k)
