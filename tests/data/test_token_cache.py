import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm_edge.data.corpus import documents
from tlm_edge.data.token_cache import load_token_cache
from tlm_edge.data.tokenizer import load_tokenizer, train_tokenizer
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import evaluation_texts

LOAD = """
import sys
from tlm_edge.data.token_cache import load_token_cache
print(load_token_cache(sys.argv[1:-1], sys.argv[-1]).folder)
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    train_tokenizer([str(evaluation_texts("agnews"))], 600, folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def _stored(cache) -> list[list[int]]:
    return [cache.tokens[a:b].tolist() for a, b in zip(cache.starts, cache.starts[1:], strict=False)]


def _encoded(tokenizer, texts, first_tokens=None) -> list[list[int]]:
    loaded = load_tokenizer(tokenizer)
    return [loaded.encode(text, add_special_tokens=False).ids[:first_tokens] for text in texts]


def _folders(cache) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_a_cache_holds_the_tokens_of_every_document(tokenizer, write_rows):
    texts = [f"Oil prices rise by {i} cents. " * (i % 7 + 1) for i in range(500)]
    source = [str(write_rows("corpus.jsonl", [{"text": text} for text in texts]))]
    cache = load_token_cache(source, tokenizer, workers=3)
    assert cache.tokens.dtype == np.uint16
    assert cache.starts.dtype == np.int64
    assert isinstance(cache.tokens, np.memmap)
    assert not cache.tokens.flags.writeable
    assert _stored(cache) == _encoded(tokenizer, texts)
    assert "TOKENIZERS_PARALLELISM" not in os.environ


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
        | st.text("aé 北-\t\u0301", max_size=90),
        min_size=1,
        max_size=6,
    ),
    first_tokens=st.integers(1, 8),
)
def test_first_tokens_are_those_of_the_whole_document(tokenizer, tmp_path_factory, texts, first_tokens):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "c.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ["plain words", *texts]))
    cache = load_token_cache([str(folder / "c.jsonl")], tokenizer, first_tokens=first_tokens)
    assert _stored(cache) == _encoded(tokenizer, documents([str(folder / "c.jsonl")]), first_tokens)


def test_large_vocabularies_take_four_bytes(tmp_path, write_rows):
    folder = tmp_path / "large"
    folder.mkdir()
    words = [f"w{i}" for i in range(70_000)]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    cache = load_token_cache([str(write_rows("c.jsonl", [{"text": "w0 w69999"}]))], folder)
    assert cache.tokens.dtype == np.uint32
    assert cache.tokens.tolist() == [5, 70_004]


def test_the_key_is_made_of_content_and_options(tmp_path, tokenizer, write_rows, cache):
    source = write_rows("c.jsonl", [{"text": f"text {i}"} for i in range(10)])
    first = load_token_cache([str(source)], tokenizer)
    written = (first.folder / "tokens.bin").stat().st_mtime_ns
    moved = tmp_path / "elsewhere" / "c.jsonl"
    moved.parent.mkdir()
    source.rename(moved)
    again = load_token_cache([str(moved)], tokenizer)
    assert again.folder == first.folder
    assert (again.folder / "tokens.bin").stat().st_mtime_ns == written
    others = [
        load_token_cache([str(moved)], tokenizer, articles=5),
        load_token_cache([str(moved)], tokenizer, first_tokens=1),
    ]
    train_tokenizer([str(evaluation_texts("agnews"))], 500, tmp_path / "other")
    others.append(load_token_cache([str(moved)], tmp_path / "other"))
    moved.write_text(moved.read_text().replace("text 3", "text three"))
    others.append(load_token_cache([str(moved)], tokenizer))
    assert len({first.folder, *(other.folder for other in others)}) == 5 == len(_folders(cache))


def test_a_damaged_cache_is_made_again(tokenizer, write_rows):
    source = [str(write_rows("c.jsonl", [{"text": "some text"}, {"text": "more"}]))]
    before = load_token_cache(source, tokenizer)
    stored = _stored(before)
    (before.folder / "tokens.bin").write_bytes(b"\0")
    assert _stored(load_token_cache(source, tokenizer)) == stored
    (before.folder / "size.json").unlink()
    assert _stored(load_token_cache(source, tokenizer)) == stored


def test_a_killed_build_leaves_nothing_that_counts(tmp_path, tokenizer, write_rows, cache):
    source = [str(write_rows("c.jsonl", [{"text": "Oil prices rise. " * 100}] * 2500))]
    builder = subprocess.Popen([sys.executable, "-c", LOAD, *source, tokenizer])
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in cache.glob(".*/tokens.bin")):
        assert builder.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    (interrupted,) = _folders(cache)
    assert interrupted.startswith(".")
    built = load_token_cache(source, tokenizer)
    assert len(built.starts) == 2501
    assert _folders(cache) == [built.folder.name]


def test_an_error_leaves_nothing_behind(tokenizer, write_rows, cache):
    source = write_rows("c.jsonl", [{"text": "fine"}] * 1000 + [{"no": "text"}])
    with pytest.raises(UserError, match="line 1001: no string 'text'"):
        load_token_cache([str(source)], tokenizer)
    assert _folders(cache) == []
    with pytest.raises(UserError, match="--first-tokens 0"):
        load_token_cache([str(source)], tokenizer, first_tokens=0)


def test_concurrent_builders_agree(tokenizer, write_rows, cache):
    texts = [f"Oil prices rise by {i} cents. " * 20 for i in range(3000)]
    source = str(write_rows("c.jsonl", [{"text": text} for text in texts]))
    command = [sys.executable, "-c", LOAD, source, str(tokenizer)]
    with ThreadPoolExecutor(3) as threads:
        runs = list(
            threads.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=True), range(3))
        )
    assert len({run.stdout for run in runs}) == 1
    assert len(_folders(cache)) == 1
    assert all(run.stderr == "" for run in runs)
    assert _stored(load_token_cache([source], tokenizer)) == _encoded(tokenizer, texts)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, tokenizer, write_rows, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "file" / "cache"))
    source = str(write_rows("c.jsonl", [{"text": "text"}]))
    with pytest.raises(UserError, match=r"the token cache can't be written in .*name another folder in TLM_EDGE_CACHE"):
        load_token_cache([source], tokenizer)


def test_memory_does_not_grow_with_the_corpus(tmp_path, tokenizer):
    def peak(megabytes: int) -> int:
        corpus = tmp_path / f"{megabytes}.jsonl"
        line = json.dumps({"text": "Oil prices rise in thin trade. " * 130}) + "\n"
        with corpus.open("w") as stream:
            for _ in range(megabytes * 250):
                stream.write(line)
        code = LOAD + "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        command = [sys.executable, "-c", code, str(corpus), str(tokenizer)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

    assert peak(8) < peak(2) + 4
