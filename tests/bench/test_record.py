from __future__ import annotations

import copy
import gzip
import json
import shutil
from dataclasses import replace

import jsonschema
import pytest

from tlm_edge.bench.figures import FIGURE_KINDS, Figure, figure
from tlm_edge.bench.record import SCHEMA_FILE, read_record, read_records, write_record
from tlm_edge.runtime.errors import UserError


@pytest.fixture(scope="module")
def schema():
    content = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


@pytest.fixture(scope="module")
def content(measured):
    return json.loads(measured[0].files[0].read_text(encoding="utf-8"))


def test_records_follow_the_published_schema(measured, schema):
    for file in measured[0].files:
        schema.validate(json.loads(file.read_text(encoding="utf-8")))


def test_a_record_survives_its_file(measured, tmp_path):
    record = measured[0].records[0]
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record
    (tmp_path / "record.json.gz").write_bytes(gzip.compress((tmp_path / "record.json").read_bytes()))
    assert read_record(tmp_path / "record.json.gz") == record


def test_samples_stand_on_one_line(measured):
    lines = measured[0].files[0].read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if '"model_us": [' in line and line.rstrip(",").endswith("]")]) == 4
    assert len(lines) < 700


def drop(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def put(value, *path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("device"), "device: missing"),
        (drop("figures", "latency_p50"), r"figures\.latency_p50: missing"),
        (put("fast", "figures", "latency_p50", "value"), r"figures\.latency_p50\.value: a number expected"),
        (put(None, "figures", "latency_p50", "provenance"), "a value wants a provenance"),
        (put("guessed", "figures", "latency_p50", "provenance"), r"figures\.latency_p50\.provenance"),
        (put({"value": 1.0, "unit": "m", "provenance": "measured"}, "figures", "height"), "not a known figure"),
        (put([], "blocks"), "blocks: at least one"),
        (put([], "blocks", 0, "model_us"), r"blocks\[0\]"),
        (put("own words", "texts", "length"), r"texts\.length"),
        (put(7, "surprise"), "surprise: not a known key"),
        (put(True, "runtime", "threads"), r"runtime\.threads: an integer expected"),
    ],
)
def test_a_damaged_record_is_refused_by_reader_and_schema(content, schema, tmp_path, change, message):
    damaged = copy.deepcopy(content)
    change(damaged)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(UserError, match=message):
        read_record(path)
    assert not schema.is_valid(damaged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(float("nan"), "figures", "latency_p50", "value"), "a finite number"),
        (put([9, 9], "labelling", "expected"), "of one length"),
        (put(99, "labelling", "given", 0), "beyond the labels"),
        (put([-1.0] * 6, "blocks", 0, "model_us"), r"blocks\[0\]"),
    ],
)
def test_contradictions_are_found(content, tmp_path, change, message):
    damaged = copy.deepcopy(content)
    change(damaged)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(UserError, match=message):
        read_record(path)


def test_a_newer_record_asks_for_an_upgrade(content, tmp_path):
    (tmp_path / "new.json").write_text(json.dumps(content | {"schema_version": 2}))
    with pytest.raises(UserError, match="pip install --upgrade tlm-edge"):
        read_record(tmp_path / "new.json")


def test_what_is_no_record_is_refused(tmp_path, measured):
    (tmp_path / "other.json").write_text('{"format": "else"}')
    with pytest.raises(UserError, match="not a record"):
        read_records([tmp_path / "other.json"])
    with pytest.raises(UserError, match="holds no records"):
        read_records([tmp_path])
    with pytest.raises(UserError, match="no record file or folder"):
        read_records([tmp_path / "absent"])
    whole = measured[0].files[0].read_bytes()
    (tmp_path / "half.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut off"):
        read_record(tmp_path / "half.json")
    (tmp_path / "half.json.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(UserError, match="cut off"):
        read_record(tmp_path / "half.json.gz")


def test_a_folder_may_hold_other_json_but_no_record_twice(measured, tmp_path):
    (tmp_path / "settings.json").write_text("[1, 2]")
    shutil.copyfile(measured[0].files[0], tmp_path / "one.json")
    assert read_records([tmp_path, tmp_path / "one.json"]) == [measured[0].records[0]]
    shutil.copyfile(measured[0].files[0], tmp_path / "two.json")
    with pytest.raises(UserError, match="are the same record"):
        read_records([tmp_path])


def test_figures_know_their_unit():
    assert figure("latency_p50", 1.5) == Figure(1.5, "ms", "measured")
    assert figure("energy", None, note="no meter") == Figure(None, "mJ", None, note="no meter")
    with pytest.raises(KeyError):
        figure("height", 1.0)


def test_the_schema_names_every_figure(schema):
    assert schema.schema["properties"]["figures"]["propertyNames"]["enum"] == list(FIGURE_KINDS)


def test_a_record_with_a_bound_keeps_it(measured, tmp_path):
    record = measured[0].records[0]
    bounded = replace(
        record, figures=record.figures | {"latency_p50": Figure(2.0, "ms", "estimated", low=1.2, high=2.8)}
    )
    write_record(tmp_path / "bounded.json", bounded)
    assert read_record(tmp_path / "bounded.json").figures["latency_p50"].high == 2.8
