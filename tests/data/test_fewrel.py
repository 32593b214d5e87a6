import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm_edge.data.fewrel import MARKERS, instances
from tlm_edge.data.tasks import load_examples, load_task
from tlm_edge.runtime.errors import UserError


def _instance(tokens, head, tail):
    return {
        "tokens": tokens,
        "h": [" ".join(tokens[i] for i in head), "Q1", [head]],
        "t": [" ".join(tokens[i] for i in tail), "Q2", [tail]],
    }


def _marked(instance):
    return next(instances({"P1": [instance]}, "file"))[0]


def test_entities_are_marked_in_the_text():
    tokens = ["New", "York", "lies", "in", "the", "United", "States", "."]
    assert _marked(_instance(tokens, [0, 1], [5, 6])) == "[E1] New York [/E1] lies in the [E2] United States [/E2] ."
    assert _marked(_instance(tokens, [5], [0])) == "[E2] New [/E2] York lies in the [E1] United [/E1] States ."


@given(data=st.data(), length=st.integers(1, 6))
def test_markers_surround_their_entities_and_change_nothing_else(data, length):
    tokens = [f"w{i}" for i in range(length)]
    spans = []
    for _ in range(2):
        first = data.draw(st.integers(0, length - 1))
        spans.append(list(range(first, data.draw(st.integers(first, length - 1)) + 1)))
    words = _marked(_instance(tokens, *spans)).split()
    assert [word for word in words if word not in MARKERS] == tokens
    for span, opening, closing in zip(spans, MARKERS[::2], MARKERS[1::2], strict=True):
        inside = words[words.index(opening) + 1 : words.index(closing)]
        assert [word for word in inside if word not in MARKERS] == [tokens[i] for i in span]


def test_positions_beyond_the_tokens_are_looked_up_by_name():
    instance = _instance(["a", "field", "in", "Madison", "and", "another", "in", "madison", "."], [1], [3])
    instance["t"] = ["madison", "", [[20]]]
    assert _marked(instance) == "a [E1] field [/E1] in Madison and another in [E2] madison [/E2] ."
    instance["t"][0] = "paris"
    with pytest.raises(UserError, match=r"P1, row 1: the positions \[20\] of 'paris' are not among the 9 tokens"):
        _marked(instance)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"h": []}, 'no "tokens" with "h" and "t"'),
        ({"t": ["x", "Q", [["one"]]]}, 'no "tokens" with "h" and "t"'),
        ({"tokens": "a string"}, '"tokens" is not a list'),
        ({"tokens": [1, 2, 3]}, '"tokens" is not a list'),
    ],
)
def test_bad_instances_are_named(tmp_path, damage, message):
    good = _instance(["a", "b", "c"], [0], [2])
    (tmp_path / "relations.json").write_text(json.dumps({"P1": [good], "P2": [good, good | damage]}))
    with pytest.raises(UserError, match=f"relations.json, relation P2, row 2: {message}"):
        load_task(tmp_path / "relations.json")


def test_a_file_is_a_task_with_markers(tmp_path):
    rows = {"P2": [_instance(["a", "b"], [0], [1])], "P10": [_instance(["c", "d"], [1], [0])] * 2}
    (tmp_path / "relations.json").write_text(json.dumps(rows))
    task = load_task(tmp_path / "relations.json")
    assert task.labels == ("P10", "P2")
    assert task.markers == MARKERS
    assert task.splits["train"].labels.tolist() == [1, 0, 0]
    (tmp_path / "relations.json").write_text(json.dumps(rows, indent=2))
    assert load_task(tmp_path / "relations.json").splits["train"].texts == task.splits["train"].texts


def test_the_shared_files_are_read(shared_data):
    task = load_task(shared_data / "fewrel" / "train64.json.gz")
    assert len(task.labels) == 64
    assert len(task.splits["train"]) == 15_464
    test = load_examples(shared_data / "fewrel" / "test64.json.gz", task.labels)
    assert np.bincount(test.labels).tolist() == [40] * 64
    assert all(text.count(marker) == 1 for text in test.texts for marker in MARKERS)
