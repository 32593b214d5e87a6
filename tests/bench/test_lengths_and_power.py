"""Texts brought to fixed lengths, and energy from a meter."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from tlm_edge.bench.bench import Settings, begin
from tlm_edge.bench.inputs import open_input
from tlm_edge.bench.power import Meter
from tlm_edge.bench.record import read_records
from tlm_edge.report.comparison import groups
from tlm_edge.report.tables import as_markdown, group_title
from tlm_edge.runtime.errors import UserError

METER = f"{sys.executable} -c 'print(2.5)'"


def silent(*_: object) -> None:
    pass


@pytest.fixture
def inputs(tiny_bundle, tiny_committee_bundle):
    return [open_input(bundle) for bundle in (tiny_bundle, tiny_committee_bundle)]


def test_a_curve_over_lengths_with_energy(inputs, test_profile, tmp_path):
    settings = Settings(profile="test", lengths=(4, 16), power_command=METER)
    result = begin(inputs, settings, tmp_path / "out", command="x", progress=silent)
    assert not result.faults
    records = read_records([tmp_path / "out"])
    assert len(records) == 4
    for record in records:
        wanted = int(record.texts.length)
        assert record.id.endswith(f"-n{wanted}")
        assert (record.texts.tokens_p50, record.texts.tokens_max) == (wanted, wanted)
        assert record.figures["accuracy"].value is None
        assert "own length" in record.figures["accuracy"].note
        assert all(watts == 2.5 for block in record.blocks for watts in block.watts)
        seconds = sum(block.wall_seconds for block in record.blocks) / sum(len(b.model_us) for b in record.blocks)
        assert record.figures["energy"].value == pytest.approx(2.5e3 * seconds)
        assert record.figures["energy"].provenance == "measured"
    schema = json.loads((Path(__file__).parents[2] / "tlm_edge/bench/record.schema.json").read_text())
    for file in result.files:
        jsonschema.validate(json.loads(file.read_text()), schema)
    found = groups(records)
    assert [(group.length, len(group.records)) for group in found] == [("4", 2), ("16", 2)]
    assert group_title(found[0]).endswith("texts of 4 tokens")
    assert "texts of 16 tokens" in as_markdown(records)


@pytest.mark.parametrize("length", [1, 5000])
def test_a_length_that_a_bundle_does_not_take_is_refused(length, inputs, tmp_path):
    with pytest.raises(UserError, match=f"--length {length} can't be measured"):
        begin(inputs, Settings(lengths=(length,)), tmp_path / "out", command="x", progress=silent)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "is empty"),
        ("'", "can't be split"),
        ("/nonexistent/meter", "can't be read"),
        (f"{sys.executable} -c 'exit(3)'", "can't be read"),
        (f"{sys.executable} -c 'print(\"much\")'", "a number of watts is expected"),
        (f"{sys.executable} -c 'print(-1)'", "which can't be"),
    ],
)
def test_what_is_no_meter_is_named(command, message):
    with pytest.raises(UserError, match=message):
        Meter(command)


def test_readings_are_those_of_the_timed_end(tmp_path):
    state = tmp_path / "watts"
    state.write_text("90")
    meter = Meter(f"cat {state}")

    def work():
        time.sleep(0.5)
        state.write_text("3")
        time.sleep(1.5)
        return {"wall_seconds": 1.0}

    assert set(meter.while_at(work)["watts"]) == {3.0}


def test_a_meter_that_fails_on_the_way_is_named(tmp_path):
    state = tmp_path / "watts"
    state.write_text("1")
    meter = Meter(f"cat {state}")
    state.unlink()
    with pytest.raises(UserError, match="can't be read"):
        meter.while_at(lambda: {"wall_seconds": 0.0})
