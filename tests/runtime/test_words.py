from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.tiny_models import labelled_texts, lists
from tlm_edge.runtime import words
from tlm_edge.runtime.tokenize import TextEncoder
from tlm_edge.runtime.words import WordTokens

LENGTH = 16
#: What the words are made of, what parts them, what is taken as it is written, and what is left to the library.
PLAIN = "aéßİſƗz09 \t\n\r.,-'’“–…_^`|$<>[]«·"
OTHER = "\0\x0b\x1c\x7f\u00a0\u00ad\u0301\u200d°£§日ا\ufffd"
PIECES = [*PLAIN, *OTHER, "[CLS]", "[SEP]", "[E1]", "[e1]", "[E1", "the", "THE", "stocks", "x" * 120]


@pytest.fixture(scope="module", params=["uncased", "cased"])
def tokenizer(request, tiny_tokenizer: Path) -> Tokenizer:
    """The test suite's tokenizer with markers of entities, and the same with case and accents kept."""
    found = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    found.add_special_tokens(["[E1]", "[/E1]"])
    if request.param == "cased":
        found.normalizer = normalizers.BertNormalizer(lowercase=False)
    found.enable_truncation(LENGTH)
    return found


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_the_same_tokens_as_the_library(tokenizer, text):
    found = WordTokens.of(tokenizer, LENGTH).token_ids(text)
    assert found is None or found.tolist() == tokenizer.encode(text).ids
    assert (found is None) == any(sign in text for sign in OTHER)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(max_codepoint=0x24F), max_size=40))
def test_the_same_tokens_of_any_latin_text(tokenizer, text):
    found = WordTokens.of(tokenizer, LENGTH).token_ids(text)
    assert found is None or found.tolist() == tokenizer.encode(text).ids


def test_every_letter_and_sign_stands_for_itself(tokenizer):
    known = WordTokens.of(tokenizer, LENGTH)
    for sign in map(chr, range(0x2100)):
        text = f"a{sign}b {sign}{sign}"
        found = known.token_ids(text)
        assert found is None or found.tolist() == tokenizer.encode(text).ids, hex(ord(sign))


def test_what_is_remembered_is_what_was_said(tiny_tokenizer, monkeypatch):
    """Of several threads, too, and when no more words are remembered."""
    texts = labelled_texts()[0] * 3
    library = TextEncoder(tiny_tokenizer / "tokenizer.json", LENGTH)
    library.words = None
    expected = lists(library.token_ids(texts))
    for most in (words._MOST_WORDS, 10):
        monkeypatch.setattr(words, "_MOST_WORDS", most)
        encoder = TextEncoder(tiny_tokenizer / "tokenizer.json", LENGTH)
        with ThreadPoolExecutor(4) as pool:
            assert all(lists(found) == expected for found in pool.map(encoder.token_ids, [texts] * 8))
        assert len(encoder.words.known) < most + 4


def test_what_was_met_with_punctuation_is_known_whole_and_word_by_word(tokenizer):
    known = WordTokens.of(tokenizer, LENGTH)
    known.token_ids("said, (said) [E1]said")
    assert set(known.known) == {"said,", "said", ",", "(said)", "(", ")", "[E1]said", "[E1]"}


def test_long_words_are_not_kept(tokenizer):
    known = WordTokens.of(tokenizer, LENGTH)
    for text in ("a" * 39, "a" * 99, "a" * 101, "a" * 100_000):
        assert known.token_ids(text).tolist() == tokenizer.encode(text).ids
    assert max(map(len, known.known)) <= words._LONGEST_WORD


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": normalizers.Lowercase()},
        {"normalizer": normalizers.BertNormalizer(clean_text=False)},
        {"pre_tokenizer": pre_tokenizers.Whitespace()},
        {"model": models.BPE()},
        {"post_processor": processors.TemplateProcessing(single="$A", special_tokens=[])},
    ],
)
def test_other_tokenizers_are_left_to_the_library(tiny_tokenizer, change):
    found = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    for name, value in change.items():
        setattr(found, name, value)
    assert WordTokens.of(found, LENGTH) is None


@pytest.mark.parametrize(
    "token",
    [
        AddedToken("@@", normalized=True),
        AddedToken("@@", lstrip=True),
        AddedToken("@@", single_word=True),
        AddedToken("word", special=True),
        AddedToken("[two words]", special=True),
    ],
)
def test_added_tokens_that_reach_into_words_are_left_to_the_library(tiny_tokenizer, token):
    found = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    found.add_tokens([token])
    assert WordTokens.of(found, LENGTH) is None
