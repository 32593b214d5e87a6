from __future__ import annotations

import gzip
import json

import pytest

from tlm_edge.data.corpus import documents
from tlm_edge.data.tokenizer import train_tokenizer
from tlm_edge.reproduce.overlap import HIGH, LOW, measure_overlap, write_overlap_corpora
from tlm_edge.runtime.errors import UserError

NEWS = "The minister said on Monday that shares of the oil company rose after the election in the capital."
RIVERS = "The river flows from a lake in the northern hills through a gorge, past two old mills, into the sea."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Forty documents of 200 words, news and rivers in turns."""
    path = tmp_path_factory.mktemp("overlap") / "corpus.jsonl"
    texts = [" ".join([NEWS, RIVERS][number % 2].split() * 11) + f" number {number}" for number in range(40)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer(corpus):
    train_tokenizer([str(corpus)], 500, corpus.parent / "tokenizer")
    return corpus.parent / "tokenizer"


def test_overlap_of_texts_with_themselves_and_with_others(tokenizer) -> None:
    same = measure_overlap([NEWS], [NEWS], tokenizer)
    assert (same.seen, same.shared, same.seen_often) == (1.0, pytest.approx(1.0), 0.0)
    assert (
        same.corpus_tokens == same.task_tokens == measure_overlap([NEWS], [f"[E1] {NEWS} [/E1]"], tokenizer).task_tokens
    )
    other = measure_overlap([RIVERS] * 100, [NEWS], tokenizer)
    words = {word.strip(".,").lower() for word in NEWS.split()} - {""}
    common = words & {word.strip(".,").lower() for word in RIVERS.split()}
    assert (
        other.seen == other.seen_often == pytest.approx((len(common) + 1) / (len(words) + 1), abs=0.06)
    )  # the full stop
    assert 0 < other.shared < 0.5


def test_corpora_differ_in_overlap_and_not_in_size(corpus, tokenizer, tmp_path) -> None:
    told = write_overlap_corpora([str(corpus)], [NEWS], tokenizer, 1500, tmp_path / "out")
    texts = {name: list(documents([str(tmp_path / "out" / f"{name}.jsonl.gz")])) for name in (HIGH, LOW)}
    assert all("minister" in text and "river" not in text for text in texts[HIGH])
    assert all("river" in text and "minister" not in text for text in texts[LOW])
    assert not set(texts[HIGH]) & set(texts[LOW])
    for name, overlap in told.items():
        assert overlap == measure_overlap(texts[name], [NEWS], tokenizer)
        assert 1500 - 128 < overlap.corpus_tokens <= 1500
    assert told[HIGH].shared > 0.9 > 0.5 > told[LOW].shared
    written = json.loads((tmp_path / "out" / "overlap.json").read_text(encoding="utf-8"))
    assert written[LOW]["shared"] == told[LOW].shared


def test_the_same_corpora_are_the_same_bytes(corpus, tokenizer, tmp_path) -> None:
    for name in ("once", "again"):
        write_overlap_corpora([str(corpus)], [NEWS], tokenizer, 1000, tmp_path / name)
    for name in (f"{HIGH}.jsonl.gz", f"{LOW}.jsonl.gz", "overlap.json"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert gzip.decompress((tmp_path / "once" / f"{HIGH}.jsonl.gz").read_bytes())


def test_too_small_a_corpus_is_refused(corpus, tokenizer, tmp_path) -> None:
    with pytest.raises(UserError, match="ask for fewer"):
        write_overlap_corpora([str(corpus)], [NEWS], tokenizer, 10**6, tmp_path / "out")
    with pytest.raises(UserError, match="task has no tokens"):
        measure_overlap([NEWS], ["", "  "], tokenizer)
    assert not (tmp_path / "out").exists()
