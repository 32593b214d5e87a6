import csv
import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm_edge.data.tasks import Examples, draw_rows, load_examples, load_task
from tlm_edge.runtime.errors import UserError

ROWS = [("a b", "x"), ("c, d", "y"), ('say "e"', "x"), ("f\ng", "z")]


def _formats(tmp_path):
    """The same rows in every format of a single file."""
    objects = [{"text": text, "label": label} for text, label in ROWS]
    for delimiter, ending in ((",", "csv"), ("\t", "tsv")):
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
        writer.writerows([("text", "label"), *ROWS])
        (tmp_path / f"rows.{ending}").write_bytes(b"\xef\xbb\xbf" + buffer.getvalue().encode())
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, objects)))
    (tmp_path / "lines.json").write_text("\n\n".join(map(json.dumps, objects)))
    (tmp_path / "array.json").write_text(json.dumps(objects, indent=1))
    files = sorted(tmp_path.iterdir())
    for file in files:
        yield file
        packed = file.with_name(file.name + ".gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        yield packed


def test_every_format_gives_the_same_task(tmp_path):
    for file in _formats(tmp_path):
        task = load_task(file)
        assert task.labels == ("x", "y", "z")
        assert list(task.splits) == ["train"]
        assert task.splits["train"].texts == tuple(text for text, _ in ROWS)
        assert task.splits["train"].labels.tolist() == [0, 1, 0, 2]
        assert task.splits["train"].labels.dtype == np.int64
        assert task.markers == ()


@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.sampled_from("abc")),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_survives_csv_and_json(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    rows = [("first", "a"), ("second", "b"), *rows]
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    lines = (json.dumps({"text": text, "label": label}) for text, label in rows)
    (folder / "rows.jsonl").write_text("\n".join(lines))
    texts = tuple(text for text, _ in rows)
    assert load_task(folder / "rows.jsonl").splits["train"].texts == texts
    assert load_task(folder / "rows.csv").splits["train"].texts == texts


def test_a_folder_holds_splits(tmp_path, write_rows):
    write_rows("task/train.jsonl", [{"text": "a", "label": "no"}, {"text": "b", "label": "yes"}])
    write_rows("task/dev.jsonl", [{"text": "c", "label": "yes"}])
    (tmp_path / "task/test.csv").write_text("label,text\nno,d\n")
    write_rows("task/train_extra.jsonl", [{"text": "not read", "label": "other"}])
    task = load_task(tmp_path / "task")
    assert {name: (split.texts, split.labels.tolist()) for name, split in task.splits.items()} == {
        "train": (("a", "b"), [0, 1]),
        "validation": (("c",), [1]),
        "test": (("d",), [0]),
    }
    assert load_examples(tmp_path / "task", task.labels).texts == ("d",)
    assert load_examples(tmp_path / "task", task.labels, split="validation").texts == ("c",)
    with pytest.raises(UserError, match="no split 'tset'; there is train, validation, test"):
        load_examples(tmp_path / "task", task.labels, split="tset")
    (tmp_path / "task/train.csv").write_text("label,text\nno,d\n")
    with pytest.raises(UserError, match=r"train\.csv and train\.jsonl are both the split 'train'"):
        load_task(tmp_path / "task")


def test_rows_of_a_label_are_drawn_alike_and_the_fewer_among_the_more():
    labels = np.array([0, 1, 1, 0, 1, 1, 0, 1, 2])
    examples = Examples(tuple("abcdefghi"), labels)
    few, more = draw_rows(examples, 2), draw_rows(examples, 4)
    assert np.bincount(few.labels).tolist() == [2, 2, 1] and np.bincount(more.labels).tolist() == [3, 4, 1]
    assert set(few.texts) < set(more.texts) and list(more.texts) == sorted(more.texts)
    assert draw_rows(examples, 2).texts == few.texts
    assert all(labels["abcdefghi".index(text)] == label for text, label in zip(few.texts, few.labels, strict=True))
    with pytest.raises(UserError, match="--rows-per-label 0"):
        draw_rows(examples, 0)


def test_columns_are_joined_and_named(tmp_path):
    (tmp_path / "news.csv").write_text('"3","A title","A description"\n"1","Another",""\n')
    names = ("Class Index", "title", "description")
    task = load_task(tmp_path / "news.csv", columns=names, text_columns=("title", "description"))
    assert task.splits["train"].texts == ("A title A description", "Another")
    assert task.labels == ("1", "3")


def test_numbers_are_labels_by_value_or_count_into_a_stored_set(write_rows):
    file = write_rows("numbers.jsonl", [{"text": "t", "label": n} for n in (10, 9, 2.0, 0)])
    assert load_task(file).labels == ("0", "2", "9", "10")
    stored = ("World", "Sports", "Business")
    assert load_examples(write_rows("two.jsonl", [{"text": "t", "label": 2}]), stored).labels.tolist() == [2]
    named = write_rows("named.jsonl", [{"text": "t", "label": " Sports "}])
    assert load_examples(named, stored).labels.tolist() == [1]
    assert load_task(named, labels=stored).labels == stored
    with pytest.raises(UserError, match=r"line 1: the label '3' is not among .* \(numbers count from 0\)"):
        load_examples(write_rows("three.jsonl", [{"text": "t", "label": 3}]), stored)
    truths = write_rows("truths.jsonl", [{"text": "t", "label": True}, {"text": "t", "label": False}])
    assert load_task(truths).labels == ("false", "true")


def test_columns_are_guessed_only_when_unambiguous(write_rows):
    row = {"Sentence": "s", "label": "l", "id": 3}
    assert load_task(write_rows("a.jsonl", [row, row | {"label": "m"}])).splits["train"].texts == ("s", "s")
    row = {"payload": "s", "y": "l"}
    two = write_rows("b.jsonl", [row, row | {"y": "m"}])
    with pytest.raises(
        UserError, match=r"line 1: no column is plainly the label; there are 'payload', 'y'; .*--label-c"
    ):
        load_task(two)
    assert load_task(two, text_columns=("payload",)).labels == ("l", "m")
    assert load_task(two, label_column="y").splits["train"].texts == ("s", "s")
    row = {"title": "t", "content": "c", "label": "l"}
    with pytest.raises(UserError, match=r"several columns could be the text \('title', 'content'\).*--text-column"):
        load_task(write_rows("c.jsonl", [row]))
    with pytest.raises(UserError, match=r"several columns could be the label \('label', 'category'\)"):
        load_task(write_rows("d.jsonl", [{"text": "t", "label": "l", "category": "c"}]))
    with pytest.raises(UserError, match="'label' can't be both text and label"):
        load_task(write_rows("e.jsonl", [row]), text_columns=("label",), label_column="label")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", r"empty\.jsonl: empty, it holds no rows"),
        ("header.csv", b"text,label\n", r"header\.csv: empty, it holds no rows"),
        ("one.csv", b"text,label\na,x\nb,x\n", r"one\.csv: only one class, 'x'"),
        ("headless.csv", b"a b,x\nc d,y\n", r"headless\.csv, line 2: .*'a b', 'x'.*--columns"),
        ("twice.csv", b"text,text\na,x\n", r"twice\.csv, line 1: the header names 'text' twice"),
        ("short.csv", b"text,label\na,x\nb\n", r"short\.csv, line 3: 1 cell, but 2 cells in the header"),
        ("long.csv", b"text,label\na,x\nb,c,y\n", r"long\.csv, line 3: 3 cells, but 2 cells"),
        ("quote.csv", b'text,label\na,x\n"b" c,y\n', r"quote\.csv, line 3: '.' expected after '\"'.*doubled"),
        ("open.csv", b'text,label\na,x\n"b,y\nc,z\n', r"open\.csv, line 3: unexpected end of data"),
        ("unlabelled.csv", b"text,label\na,x\nb, \n", r"unlabelled\.csv, line 3: the label 'label' is ' '"),
        ("latin.csv", b"text,label\na,x\n\xe9,y\n", r"latin\.csv, line 3: the byte 0xe9 is not UTF-8"),
        ("nul.tsv", b"text\tlabel\na\tx\nb\0\ty\n", r"nul\.tsv, line 3: a NUL byte"),
        ("wide.jsonl", b'{"text": "' + b"a" * 10_000_000 + b'"}', r"wide\.jsonl, line 1: longer than 8 MiB"),
        ("null.jsonl", b'{"text": null, "label": 1}', r"null\.jsonl, line 1: 'text' is None, not text"),
        ("half.jsonl", b'{"text": "\\udc00", "label": 1}', r"half\.jsonl, line 1: '\\udc00' is half a surrogate"),
        ("gap.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}', r"gap\.jsonl, line 2: no 'label' in this row"),
        ("list.jsonl", b'["a", "b"]\n', r"list\.jsonl, line 1: not a JSON object"),
        ("broken.jsonl", b'{"text": "a", "label": 1}\n{"text"', r"broken\.jsonl, line 2: not JSON"),
        ("broken.json", b'[\n{"text": "a",\n', r"broken\.json, line 3: not JSON"),
        ("number.json", b"3", r"number\.json: neither JSON Lines, nor an array"),
        ("rows.json", b'[{"text": "a", "label": 1}, 3]', r"rows\.json, row 2: not a JSON object"),
        ("rows.xlsx", b"PK", r"rows\.xlsx: the format is told by the name's ending: \.csv"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_task(tmp_path / name)


def test_bad_tasks_are_named(tmp_path, write_rows):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    write_rows("task/train.jsonl", rows)
    write_rows("task/test.jsonl", [*rows, {"text": "c", "label": "w"}])
    with pytest.raises(UserError, match=r"test\.jsonl, line 3: the label 'w' is not among those of the split 'train'"):
        load_task(tmp_path / "task")
    file = write_rows("file.jsonl", rows)
    with pytest.raises(UserError, match=r"file\.jsonl, line 1: no column 'body'; there are 'text', 'label'"):
        load_task(file, text_columns=("body",))
    with pytest.raises(UserError, match="--columns names the columns of CSV and TSV"):
        load_task(file, columns=("text", "label"))
    with pytest.raises(UserError, match="the label 'y' is not among the model's labels: 'x', 'z'"):
        load_examples(file, ("x", "z"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no file named train, validation or test"):
        load_task(tmp_path / "empty")
    write_rows("tested/test.jsonl", rows)
    with pytest.raises(UserError, match="tested: no split 'train'"):
        load_task(tmp_path / "tested")
    assert load_examples(tmp_path / "tested", ("x", "y")).labels.tolist() == [0, 1]
    with pytest.raises(UserError, match="no such file or folder"):
        load_task("absent.csv")


def test_the_shared_tasks_are_read(shared_data):
    news = load_task(shared_data / "agnews")
    assert news.labels == ("Business", "Sci/Tech", "Sports", "World")
    assert {name: len(split) for name, split in news.splits.items()} == {"train": 17_572, "test": 7_600}
    assert np.bincount(news.splits["test"].labels).tolist() == [1900] * 4
    assert len(load_task(shared_data / "dbpedia").labels) == 14
