"""BERT's tokens of plain texts, word by word: what the library said of each word is remembered."""

from __future__ import annotations

import re
from collections.abc import Iterable

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

#: Words that are remembered, about five megabytes; longer ones are asked for again.
_MOST_WORDS, _LONGEST_WORD = 16_384, 40
#: Latin letters and digits, which make words, and the signs beyond ASCII that stand for themselves wherever they are.
_LETTERS, _SIGNS = r"A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f", r"¡«·»¿–—‘’“”•…"
#: All else: what BERT removes, so that words may grow together, and scripts of which it makes words in other ways.
_OTHER = re.compile(rf"[^\t\n\r\x20-\x7e{_LETTERS}{_SIGNS}]")


class WordTokens:
    """The token ids of texts in Latin letters, of which BERT makes words that don't depend on each other.

    BERT splits at white space and at every sign of punctuation, then cuts each word into pieces (Devlin et al., arXiv
    1810.04805, and ``BertNormalizer``, ``BertPreTokenizer`` and ``WordPiece`` of the library tokenizers). A word's
    pieces are the library's own; to look them up takes a third of the time. Safe to use from several threads.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, max_length: int, before: list[int], after: list[int]):
        """Ask ``tokenizer``, and put ``before`` and ``after`` around every text's tokens, ``max_length`` together."""
        self._tokenizer = tokenizer
        self._before, self._after = before, after
        self._room = max_length - len(before) - len(after)
        added = sorted((token.content for token in _added(tokenizer)), key=len, reverse=True)
        self._words = re.compile("|".join([*map(re.escape, added), f"[{_LETTERS}]+", rf"[^\s{_LETTERS}]"]))
        #: The ids of words that were met.
        self.known: dict[str, tuple[int, ...]] = {}

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

    def token_ids(self, text: str) -> list[int] | None:
        """The ids of ``text``, special tokens included, cut to the maximum length; None if it has other signs."""
        if not (text.isascii() and text.isprintable()) and _OTHER.search(text) is not None:
            return None
        # Every word has a token at least, so that later ones are cut away.
        words = self._words.findall(text)[: self._room]
        known = self.known
        ids: list[int] = []
        try:
            for word in words:
                ids += known[word]
        except KeyError:
            asked = self._ask({word for word in words if word not in known})
            ids = [token for word in words for token in (known.get(word) or asked[word])]
        return [*self._before, *ids[: self._room], *self._after]

    def _ask(self, words: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """The ids of each word, which are remembered while there is room."""
        # One at a time: the library would hand even a batch of two to its threads, which takes longer than the words.
        ids = {word: tuple(self._tokenizer.encode(word, add_special_tokens=False).ids) for word in words}
        if len(self.known) < _MOST_WORDS:
            self.known |= {word: each for word, each in ids.items() if len(word) <= _LONGEST_WORD}
        return ids


def _added(tokenizer: tokenizers.Tokenizer) -> list[tokenizers.AddedToken]:
    return list(tokenizer.get_added_tokens_decoder().values())


def _apart(token: tokenizers.AddedToken) -> bool:
    """Whether it is found in a text as it is written, whatever stands beside it, and never within a word."""
    plain = not (token.normalized or token.lstrip or token.rstrip or token.single_word)
    return plain and token.content.isascii() and not token.content[:1].isalnum()
