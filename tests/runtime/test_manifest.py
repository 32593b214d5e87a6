import copy
import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import SCHEMA_FILE, SCHEMA_VERSION, is_inside, parse_manifest

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

MANIFEST = {
    "schema_version": 1,
    "name": "example-onnx-int8",
    "target": "onnx",
    "precision": "int8",
    "rewrite": "fixed-query",
    "delegated": None,
    "labels": ["no", "yes"],
    "max_length": 128,
    "lengths": [],
    "pad_token_id": 0,
    "model_file": "model.onnx",
    "tokenizer_file": "tokenizer.json",
    "inputs": [{"name": "input_ids", "dtype": "int64", "shape": ["batch", "length"]}],
    "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", 2]}],
    "files": {
        "model.onnx": {"sha256": "0" * 64, "bytes": 10},
        "tokenizer.json": {"sha256": "f" * 64, "bytes": 0},
    },
    "source": {
        "name": "example",
        "kind": "checkpoint",
        "architecture": "bert",
        "members": 1,
        "parameters": 12,
        "sha256": "a" * 64,
    },
    "versions": {"tlm-edge": "0.1.0"},
    "parity": {
        "sequences": 4,
        "shortest": 1,
        "longest": 128,
        "max_logit_difference": 0.5,
        "tolerance": None,
        "texts": 200,
        "agreement": 1.0,
        "required_agreement": 0.95,
    },
    "accuracy": {
        "data": "test.jsonl",
        "sha256": None,
        "texts": 200,
        "accuracy": 0.9,
        "macro_f1": 0.9,
        "source_accuracy": 0.9,
        "allowed_drop": 0.01,
    },
    "member_files": [],
    "cascade": None,
    "weights": [],
}


def places(value, path=()):
    """The paths of all values in a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def refuses_schema(content):
    return not VALIDATOR.is_valid(content)


def refuses_parser(content):
    try:
        parse_manifest(json.dumps(content), "manifest.json")
    except UserError:
        return True
    return False


def test_the_schema_is_a_schema():
    VALIDATOR.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_a_manifest_survives_the_way_there_and_back():
    manifest = parse_manifest(json.dumps(MANIFEST), "manifest.json")
    assert manifest.to_json() == MANIFEST
    VALIDATOR.validate(manifest.to_json())
    assert manifest.labels == ("no", "yes")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_parser_and_schema_refuse_the_same(data):
    content = copy.deepcopy(MANIFEST)
    path = data.draw(st.sampled_from([path for path in places(content) if path]))
    parent = at(content, path[:-1])
    if data.draw(st.booleans()) and isinstance(parent, dict):
        del parent[path[-1]]
        if data.draw(st.booleans()):
            parent["surplus"] = 1
    else:
        parent[path[-1]] = data.draw(st.sampled_from([None, True, 7, -1, 2.5, "text", [], ["text"], {}, {"a": "b"}]))
    files = content.get("files")
    if isinstance(files, dict) and set(files) >= {"model.onnx", "tokenizer.json"}:
        # Which files must be there depends on other keys: a schema can't say it, the parser can.
        content |= {"model_file": "model.onnx"} if isinstance(content.get("model_file"), str) else {}
        content |= {"tokenizer_file": "tokenizer.json"} if isinstance(content.get("tokenizer_file"), str) else {}
        content |= {"member_files": []} if content.get("member_files") == ["text"] else {}
        assert refuses_parser(content) == refuses_schema(content)
    else:
        assert refuses_parser(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": None}, "no schema_version"),
        ({"labels": ["a", "a"]}, "all different"),
        ({"max_length": 0}, "max_length"),
        ({"lengths": [16, 0]}, "lengths: each at least 1"),
        ({"delegated": 1.5}, "delegated: a share"),
        ({"max_length": "128"}, "max_length: an integer expected, '128' found"),
        ({"model_file": "other.onnx"}, "'other.onnx' is not among them"),
        ({"extra": 1}, "extra: not a known key"),
        ({"files": MANIFEST["files"] | {"../x": {"sha256": "0" * 64, "bytes": 1}}}, "leads out of the bundle"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(UserError, match=message):
        parse_manifest(json.dumps(MANIFEST | change), "manifest.json")


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"schema_version": 1', "[" * 100_000, "\udcff"])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(UserError):
        parse_manifest(text, "manifest.json")


def test_names_that_lead_out():
    assert all(is_inside(name) for name in ("a", "a/b.txt", "..a", "a..", ".hidden"))
    for name in ("", ".", "..", "../a", "a/../b", "/etc/passwd", "a//b", "a/", "C:a", "a\\b", "a\0b", "./a", "a/./b"):
        assert not is_inside(name), name
