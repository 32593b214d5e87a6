"""BERT's tokens of plain texts, piece by piece: what the library said of each piece is remembered."""

from __future__ import annotations

import re

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

#: Words, and what white space parts, that are remembered, about twelve megabytes; longer ones are asked for again.
_MOST_WORDS, _LONGEST_WORD = 65_536, 40
#: As runtimes take them.
_ID = np.dtype(np.int64)
#: Latin letters and digits, which make words, and the signs beyond ASCII that stand for themselves wherever they are.
_LETTERS, _SIGNS = r"A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f", r"¡«·»¿–—‘’“”•…"
#: All else: what BERT removes, so that words may grow together, and scripts of which it makes words in other ways.
_OTHER = re.compile(rf"[^\t\n\r\x20-\x7e{_LETTERS}{_SIGNS}]")


class WordTokens:
    """The token ids of texts in Latin letters, of which BERT makes words that don't depend on each other.

    BERT splits at white space and at every sign of punctuation, then cuts each word into tokens (Devlin et al., arXiv
    1810.04805, and ``BertNormalizer``, ``BertPreTokenizer`` and ``WordPiece`` of the library tokenizers). A word's
    tokens are the library's own. What stands between white space is looked up as a whole, such as «said,», and word
    by word when it is met first. Ids are kept as bytes: to chase a text's numbers through Python's objects takes longer
    than all else here. Safe to use from several threads.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, max_length: int, before: list[int], after: list[int]):
        """Ask ``tokenizer``, and put ``before`` and ``after`` around every text's tokens, ``max_length`` together."""
        self._tokenizer = tokenizer
        self._before, self._after = _bytes(before), _bytes(after)
        self._room = max_length - len(before) - len(after)
        self._model, self._lowercase = tokenizer.model, tokenizer.normalizer.lowercase
        added = sorted((token.content for token in _added(tokenizer)), key=len, reverse=True)
        self._words = re.compile("|".join([*map(re.escape, added), f"[{_LETTERS}]+", rf"[^\s{_LETTERS}]"]))
        #: The ids of what was met, int64.
        self.known: dict[str, bytes] = {}

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer, max_length: int) -> WordTokens | None:
        """None unless ``tokenizer`` is of BERT's kind, with one token before a text and one behind it."""
        normalizer = tokenizer.normalizer
        if not (
            isinstance(normalizer, normalizers.BertNormalizer)
            and normalizer.clean_text
            and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and isinstance(tokenizer.model, models.WordPiece)
            and all(_apart(token) for token in _added(tokenizer))
        ):
            return None
        inside, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
        if len(whole) != len(inside) + 2 or whole[1:-1] != inside:
            return None
        return cls(tokenizer, max_length, whole[:1], whole[-1:])

    def token_ids(self, text: str) -> np.ndarray | None:
        """The ids of ``text``, int64, special ones included, cut to the maximum length; None if it has other signs."""
        if not (text.isascii() and text.isprintable()) and _OTHER.search(text) is not None:
            return None
        # Every piece has a token at least, so that later ones are cut away.
        ids = self._ids(text.split(None, self._room)[: self._room])
        return np.frombuffer(bytearray(self._before + ids[: self._room * _ID.itemsize] + self._after), dtype=_ID)

    def _ids(self, pieces: list[str]) -> bytes:
        known = self.known.get
        return b"".join([known(piece) or self._met_first(piece) for piece in pieces])

    def _met_first(self, piece: str) -> bytes:
        words = self._words.findall(piece)[: self._room]
        ids = _bytes(self._cut(piece)) if words == [piece] else self._ids(words)
        if len(piece) <= _LONGEST_WORD and len(self.known) < _MOST_WORDS:
            self.known[piece] = ids
        return ids

    def _cut(self, word: str) -> list[int]:
        if word.isascii() and word.isalnum():
            # All that the library does to such a word before it is cut; its whole way takes five times as long.
            return [token.id for token in self._model.tokenize(word.lower() if self._lowercase else word)]
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return ids


def _bytes(ids: list[int]) -> bytes:
    return np.array(ids, dtype=_ID).tobytes()


def _added(tokenizer: tokenizers.Tokenizer) -> list[tokenizers.AddedToken]:
    return list(tokenizer.get_added_tokens_decoder().values())


def _apart(token: tokenizers.AddedToken) -> bool:
    """Whether it is found in a text as it is written, whatever stands beside it, and never within a word."""
    text = token.content
    plain = not (token.normalized or token.lstrip or token.rstrip or token.single_word)
    return plain and text.isascii() and not text[:1].isalnum() and text.split() == [text]
