import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_models import lists
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.tokenize import TextEncoder, pad, well_formed

ODD = ["", " ", "\0", "a\0b", "\ud83d", "\udc00\ud83d x", "👩‍👩‍👧", "\u202eשלום", "x" * 100_000, "a b " * 50_000]


@pytest.fixture(scope="module")
def encoder(tiny_tokenizer):
    return TextEncoder(tiny_tokenizer / "tokenizer.json", 16)


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_become_tokens(encoder, text):
    (ids,) = encoder.token_ids([text])
    assert 2 <= len(ids) <= 16
    assert (ids[0], ids[-1]) == (2, 3)


def test_a_batch_gives_the_same_as_its_texts(encoder):
    assert lists(encoder.token_ids(ODD)) == [encoder.token_ids([text])[0].tolist() for text in ODD]


def test_with_and_without_parallelism(tiny_tokenizer, encoder):
    alone = TextEncoder(tiny_tokenizer / "tokenizer.json", 16, parallel=False)
    assert lists(alone.token_ids(ODD)) == lists(encoder.token_ids(ODD))


def test_the_tokenizer_s_own_settings_do_not_matter(tiny_tokenizer, tmp_path, encoder):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    tokenizer.enable_padding(length=99)
    tokenizer.enable_truncation(5)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = TextEncoder(tmp_path / "tokenizer.json", 16).token_ids(["a text"])
    assert lists(found) == lists(encoder.token_ids(["a text"]))


@settings(deadline=None)
@given(st.lists(st.text(st.characters(), max_size=40), max_size=8))
def test_any_text_at_all(encoder, texts):
    assert len(encoder.token_ids(texts)) == len(texts)
    for text in texts:
        well_formed(text).encode()


def test_what_is_no_text(encoder):
    with pytest.raises(TypeError, match="a text expected, int found"):
        encoder.token_ids(["a", 3])


def test_what_is_no_tokenizer(tmp_path, tiny_tokenizer):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"is not a tokenizer\.json"):
        TextEncoder(tmp_path / "tokenizer.json", 16)
    with pytest.raises(UserError, match="has no room"):
        TextEncoder(tiny_tokenizer / "tokenizer.json", 1)


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=6))
def test_padding(token_ids):
    input_ids, attention_mask = pad(token_ids, 0)
    assert input_ids.shape == attention_mask.shape == (len(token_ids), max(map(len, token_ids)))
    assert input_ids.dtype == attention_mask.dtype == np.int64
    for ids, row, mask in zip(token_ids, input_ids.tolist(), attention_mask.tolist(), strict=True):
        assert row == ids + [0] * (len(row) - len(ids))
        assert mask == [1] * len(ids) + [0] * (len(row) - len(ids))
