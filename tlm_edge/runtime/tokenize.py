"""Texts to token ids, by the ``tokenizer.json`` that travels with a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import ArrayLike

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.words import WordTokens


class TextEncoder:
    """One tokenizer, made once and used for every text; safe to use from several threads."""

    def __init__(self, tokenizer_file: Path, max_length: int, *, parallel: bool = True):
        """Read ``tokenizer_file``; texts will be cut to ``max_length`` tokens, special tokens included.

        With ``parallel`` false a batch is tokenized on the calling thread alone.
        Raises ``UserError`` if the file is no tokenizer, or ``max_length`` has no room for the special tokens.
        """
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # tokenizers raises bare Exception
            raise UserError(f"{tokenizer_file} is not a tokenizer.json ({error})") from error
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if max_length < max(special, 1):
            raise UserError(f"a maximum length of {max_length} has no room for the {special} special tokens")
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.no_padding()
        #: What is known of words; None where the library does it all.
        self.words = WordTokens.of(self._tokenizer, max_length)
        self._parallel = parallel

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, int64 (tokens,), special tokens included, cut to the maximum length.

        Half of a surrogate pair, which no UTF-8 text can hold, is read as U+FFFD, the replacement character.
        """
        found = [self._plain(text) for text in texts]
        left = [text for text, ids in zip(texts, found, strict=True) if ids is None]
        rest = iter(self._by_library(left) if left else ())
        return [next(rest) if ids is None else ids for ids in found]

    def _plain(self, text: str) -> np.ndarray | None:
        return self.words.token_ids(text) if self.words is not None and isinstance(text, str) else None

    def _by_library(self, texts: Sequence[str]) -> list[np.ndarray]:
        try:
            return self._encode(texts)
        except (TypeError, UnicodeEncodeError):
            return self._encode([well_formed(text) for text in texts])

    def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        # A batch of one, too: without the offsets that encode() keeps track of, it takes an eighth less time.
        batches = [list(texts)] if self._parallel else [[text] for text in texts]
        encodings = (encoding for batch in batches for encoding in self._tokenizer.encode_batch_fast(batch))
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]


def pad(token_ids: Sequence[ArrayLike], pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
    """``input_ids`` and ``attention_mask``, int64 (texts, longest), padded on the right; the mask is 1 on tokens."""
    if len(token_ids) == 1:
        input_ids = np.asarray(token_ids[0], dtype=np.int64)[None]
        return input_ids, np.ones(input_ids.shape, dtype=np.int64)
    rows = [np.asarray(ids, dtype=np.int64) for ids in token_ids]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    attention_mask = (np.arange(lengths.max())[None, :] < lengths[:, None]).astype(np.int64)
    input_ids = np.full(attention_mask.shape, pad_token_id, dtype=np.int64)
    input_ids[attention_mask.astype(bool)] = np.concatenate(rows)
    return input_ids, attention_mask


def well_formed(text: str) -> str:
    """``text`` with U+FFFD, the replacement character, for every half of a surrogate pair. Raises ``TypeError``."""
    if not isinstance(text, str):
        raise TypeError(f"a text expected, {type(text).__name__} found")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
