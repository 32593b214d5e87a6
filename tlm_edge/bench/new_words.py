"""Texts that are timed again and again, and yet have words that are new."""

from __future__ import annotations

from collections.abc import Sequence

from tlm_edge.runtime.tokenize import TextEncoder


class NewWords:
    """Makes ``encoder`` forget what it knows of the words of ``texts``, so that each pass over them is like the first.

    It remembers how words are cut (``runtime/words.py``), and would know every word from the second pass on, which a
    user's texts never grant it. When one half of the texts begins, only the words of the other half are known.
    """

    def __init__(self, encoder: TextEncoder, texts: Sequence[str]) -> None:
        """Learn the words of each half of ``texts``, in their order."""
        self._encoder = encoder
        half = (len(texts) + 1) // 2
        self._known = {0: self._words_of(texts[half:]), half: self._words_of(texts[:half])}

    def before(self, index: int) -> None:
        """Forget what is to be new to the text at ``index``; to be called before every text, in their order."""
        if self._encoder.words is not None and index in self._known:
            self._encoder.words.known = dict(self._known[index])

    def _words_of(self, texts: Sequence[str]) -> dict[str, bytes]:
        if self._encoder.words is None:
            return {}
        self._encoder.words.known = {}
        self._encoder.token_ids(texts)
        return self._encoder.words.known
