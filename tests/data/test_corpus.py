import gzip
import json

import numpy as np
import pytest

from tlm_edge.data.corpus import ARTICLES_SEED, documents
from tlm_edge.runtime.errors import UserError


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path, write_rows):
    write_rows("corpus/b.jsonl", [{"id": 1, "text": "third"}, {"text": "  \n"}, {"text": "fourth"}])
    (tmp_path / "corpus/a").mkdir()
    (tmp_path / "corpus/a/one.txt").write_text("first\nstill first\n\n \nsecond\n")
    (tmp_path / "corpus/c.txt.gz").write_bytes(gzip.compress(b"fifth"))
    (tmp_path / "corpus/.hidden.txt").write_text("not this")
    (tmp_path / "corpus/table.csv").write_text("not,this")
    (tmp_path / "corpus/README.md").write_text("nor this")
    assert list(documents([str(tmp_path / "corpus")])) == ["first\nstill first", "second", "third", "fourth", "fifth"]


def test_sources_keep_their_order_and_a_file_is_read_once(tmp_path, write_rows):
    for name in "abc":
        write_rows(f"{name}.jsonl", [{"text": name}])
    b, everything = str(tmp_path / "b.jsonl"), str(tmp_path / "*.jsonl")
    assert list(documents([b, everything])) == ["b", "a", "c"]


def test_json_lines_are_told_without_a_known_ending(tmp_path):
    file = tmp_path / "wiki_00"
    file.write_text("\n" + json.dumps({"text": "an article"}) + "\n")
    assert list(documents([str(file)])) == ["an article"]
    file.write_text("{ is how this text begins")
    assert list(documents([str(tmp_path / "wiki_*")])) == ["{ is how this text begins"]


def test_a_text_without_blank_lines_is_cut_at_line_ends(tmp_path):
    file = tmp_path / "long.txt"
    lines = [f"line {i} {'x' * 90}\n" for i in range(30_000)]
    file.write_text("".join(lines))
    pieces = list(documents([str(file)]))
    assert len(pieces) == 3
    assert max(map(len, pieces)) < 1.1 * 2**20
    assert "\n".join(pieces) + "\n" == "".join(lines)


def test_articles_are_those_of_a_seeded_shuffle_and_nested(write_rows):
    texts = [f"article {i}" for i in range(200)]
    source = [str(write_rows("wiki.jsonl", [{"text": text} for text in texts]))]
    datasets = pytest.importorskip("datasets")
    shuffled = datasets.Dataset.from_dict({"text": texts}).shuffle(seed=ARTICLES_SEED).select(range(50))["text"]
    kept = list(documents(source, articles=50))
    assert set(kept) == set(shuffled)
    assert kept == [text for text in texts if text in set(kept)]
    assert set(documents(source, articles=20)) < set(kept)
    assert list(documents(source, articles=200)) == texts
    with pytest.raises(UserError, match="--articles 201: the corpus has only 200 documents"):
        list(documents(source, articles=201))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", r"empty\.jsonl: no text in it"),
        ("blank.txt", b" \n\n \n", r"blank\.txt: no text in it"),
        ("no_text.jsonl", b'{"text": "a"}\n{"body": "b"}\n', r"no_text\.jsonl, line 2: no string 'text'"),
        ("no_object.jsonl", b'["a"]\n', r"no_object\.jsonl, line 1: no string 'text'"),
        ("not_json.jsonl", b'{"text": "a"}\n{"text": \n', r"not_json\.jsonl, line 2: not JSON"),
        ("half.jsonl", b'{"text": "a\\ud800"}\n', r"half\.jsonl, line 1: '\\ud800' is half a surrogate pair"),
        ("table.csv", b"text\na\n", r"table\.csv: a corpus is text or JSON Lines"),
    ],
)
def test_bad_corpora_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(documents([str(tmp_path / name)]))


def test_sources_that_are_nothing_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for sources, message in [
        ([], "no corpus"),
        (["absent.txt"], r"absent\.txt: no such file"),
        (["data/absent.jsonl"], r"data/absent\.jsonl: no such file"),
        (["*.txt"], r"\*\.txt: no file matches"),
        (["folder"], "folder: no text in this folder"),
    ]:
        with pytest.raises(UserError, match=message):
            list(documents(sources))


def test_the_shared_wikipedia_is_read(shared_data):
    source = [str(shared_data / "wikipedia" / "enwiki2015_00.jsonl.gz")]
    texts = list(documents(source))
    assert len(texts) == 832
    assert texts[0].startswith("Anarchism is a political philosophy")
    lengths = np.array([len(text) for text in documents(source, articles=100)])
    assert len(lengths) == 100
    assert lengths.min() > 0
