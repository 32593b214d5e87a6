"""The special tokens that training needs, by their ids."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from tlm_edge.data.tokenizer import SPECIAL_TOKENS
from tlm_edge.runtime.errors import UserError


def special_id(tokenizer: Tokenizer, token: str, source: Path) -> int:
    """The id of a special token. Raises ``UserError`` if the tokenizer, which came from ``source``, lacks it."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise UserError(f"{source}: the tokenizer has no {token}; training needs one of BERT's kind")
    return int(number)


def special_ids(tokenizer: Tokenizer, source: Path) -> tuple[int, ...]:
    """The ids of BERT's special tokens and of all that the tokenizer declares special, sorted."""
    declared = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return tuple(sorted(declared | {special_id(tokenizer, token, source) for token in SPECIAL_TOKENS}))
