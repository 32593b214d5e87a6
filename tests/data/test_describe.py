import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm_edge.data.describe import describe, token_overlap
from tlm_edge.data.tasks import load_task
from tlm_edge.data.tokenizer import load_tokenizer, train_tokenizer
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import evaluation_texts


@pytest.fixture
def task_folder(tmp_path, write_rows):
    rows = [
        ("oil rises", "b"),
        ("Oil   Rises", "b"),
        ("team wins", "s"),
        ("oil falls", "b"),
        ("team wins", "b"),
        ("", "s"),
    ]
    write_rows("task/train.jsonl", [{"text": text, "label": label} for text, label in rows])
    rows = [("OIL rises", "b"), ("team loses 北", "s"), ("oil falls", "b")]
    write_rows("task/train_extra.jsonl", [])
    write_rows("task/test.jsonl", [{"text": text, "label": label} for text, label in rows])
    return tmp_path / "task"


@pytest.fixture
def words(tmp_path):
    """A tokenizer of whole words, so that counts can be told by eye."""
    (tmp_path / "words").mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "oil", "rises", "falls", "team", "wins", "loses"]
    (tmp_path / "words" / "vocab.txt").write_text("\n".join(words))
    return tmp_path / "words"


def test_what_a_task_holds_is_told(task_folder, words):
    description = describe(load_task(task_folder), "task", tokenizer=words)
    train, test = description.splits["train"], description.splits["test"]
    assert train.labels == {"b": 4, "s": 2}
    assert (train.rows, train.blank, train.duplicates, train.in_train) == (6, 1, 2, None)
    assert (test.rows, test.blank, test.duplicates, test.in_train) == (3, 0, 0, 2)
    assert description.contradictory == 2
    assert train.lengths.percentiles == {50: 4, 90: 4, 95: 4, 99: 4}
    assert (train.lengths.longest, train.lengths.mean, train.lengths.unknown_rate) == (4, 22 / 6, 0)
    assert test.lengths.unknown_rate == pytest.approx(1 / 7)
    assert [warning.split(":")[0] for warning in description.warnings] == [
        "2 rows of the split 'train' repeat an earlier row of it",
        "1 rows of the split 'train' have a blank text",
        "2 of 3 rows of the split 'test' occur in 'train'",
        "2 rows have a text that also occurs with another label",
    ]


def test_the_overlap_with_a_corpus_is_counted(task_folder, words, tmp_path, monkeypatch):
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus.txt").write_text("oil " * 10 + "rises wins unheard [MASK]")
    description = describe(load_task(task_folder), "task", tokenizer=words, corpus=[str(tmp_path / "corpus.txt")])
    # Of train's tokens oil (3 times), rises (2), falls (1), team (2), wins (2) the corpus has oil ten times.
    shares = [(overlap.seen_at_least, overlap.types, overlap.occurrences) for overlap in description.overlap]
    assert shares == [(1, 3 / 5, 7 / 10), (10, 1 / 5, 3 / 10), (100, 0, 0), (1000, 0, 0)]
    with pytest.raises(UserError, match="name a tokenizer with --tokenizer"):
        describe(load_task(task_folder), "task", corpus=["corpus.txt"])


@given(
    task=st.lists(st.integers(0, 9), max_size=30),
    corpus=st.lists(st.integers(0, 9), max_size=60),
    least=st.integers(1, 8),
)
def test_the_overlap_is_what_its_definition_says(task, corpus, least):
    (overlap,) = token_overlap(np.bincount(task, minlength=10), np.bincount(corpus, minlength=10), [least])
    seen = {token for token, count in Counter(corpus).items() if count >= least}
    assert overlap.types == (len(set(task) & seen) / len(set(task)) if task else 0)
    assert overlap.occurrences == (sum(token in seen for token in task) / len(task) if task else 0)


def test_without_a_tokenizer_the_rest_is_told(task_folder):
    description = describe(load_task(task_folder), str(task_folder))
    assert description.unused == ("train_extra.jsonl",)
    assert description.tokenizer is None
    assert description.splits["train"].lengths is None
    assert description.splits["test"].in_train == 2


def test_markers_count_as_one_token_each(tmp_path, write_rows):
    train_tokenizer([str(evaluation_texts("agnews"))], 600, tmp_path / "tokenizer")
    text = "[E1] oil [/E1] [E2] prices [/E2]"
    file = write_rows("pairs.jsonl", [{"text": text, "label": label} for label in "ab"])
    description = describe(load_task(file), "pairs", tokenizer=tmp_path / "tokenizer")
    entities = len(load_tokenizer(tmp_path / "tokenizer").encode("oil prices", add_special_tokens=False).ids)
    assert description.splits["train"].lengths.longest == 2 + 4 + entities


def test_the_shipped_evaluation_texts_are_clean():
    description = describe(load_task(evaluation_texts("agnews")), "agnews")
    assert json.loads(json.dumps(description.warnings)) == []
    assert set(description.splits["train"].labels.values()) == {50}
