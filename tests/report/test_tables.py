from __future__ import annotations

import csv
import io
from dataclasses import replace

from tlm_edge.bench.figures import FIGURE_KINDS, Figure
from tlm_edge.report.comparison import groups
from tlm_edge.report.tables import as_csv, as_markdown, main_table, ratio_table
from tlm_edge.report.words import model_name


def test_csv_has_every_figure_with_its_provenance(measured):
    records = list(measured[0].records)
    rows = list(csv.DictReader(io.StringIO(as_csv(records))))
    assert [row["record"] for row in rows] == [record.id for record in records]
    for row, record in zip(rows, records, strict=True):
        for name in FIGURE_KINDS:
            figure = record.figures.get(name)
            if figure is None:  # a committee without a cascade asks every member
                assert name == "members" and row[name] == ""
                continue
            assert row[name] == ("" if figure.value is None else str(figure.value))
            assert row[f"{name}_provenance"] == (figure.provenance or "")
        assert row["accuracy_low"] == str(record.figures["accuracy"].low)
        assert row["cpu"] == record.device.machine.cpu


def test_csv_of_a_record_with_fewer_figures_keeps_its_columns(measured):
    record = measured[0].records[0]
    fewer = replace(record, figures={name: value for name, value in record.figures.items() if name != "load"})
    row = next(csv.DictReader(io.StringIO(as_csv([fewer]))))
    assert row["load"] == row["load_unit"] == row["load_high"] == ""
    assert row["size_unit"] == "MB"


def test_markdown_names_models_ratios_and_how_to_reproduce(measured):
    records = list(measured[0].records)
    text = as_markdown(records)
    assert text.startswith("# Benchmark report\n")
    for record in records:
        assert f"| {model_name(record)}" in text
    assert "against tiny" in text
    assert "- measured (no mark): " in text
    assert "estimated" not in text
    assert records[0].session.command in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines if "accuracy |" in line or line.startswith("| tiny")}) <= 2


def test_figures_that_were_not_measured_are_marked(measured):
    record = measured[0].records[0]
    estimated = replace(
        record, figures=record.figures | {"latency_p50": Figure(24.0, "ms", "estimated", low=15.0, high=34.0)}
    )
    (group,) = groups([estimated])
    table = main_table(group)
    cell = table.rows[0][table.heading.index("latency p50, ms")]
    assert cell == "24.0~"
    assert "- estimated (~): " in as_markdown([estimated])


def test_dubious_records_carry_a_dagger(measured):
    record = measured[0].records[0]
    for valid in (True, False):
        validity = replace(record.validity, valid=valid, reasons=() if valid else ("too short: 1 of 3 s",))
        (group,) = groups([replace(record, validity=validity)])
        assert main_table(group).rows[0][0].endswith("†") != valid
        assert ("too short: 1 of 3 s" in as_markdown(list(group.records))) != valid


def test_ratios_are_against_the_slowest(measured):
    (group,) = groups(measured[0].records)
    table = ratio_table(group)
    assert len(table.rows) == 1
    slowest = max(group.records, key=lambda record: record.figures["latency_p50"].value)
    assert table.heading[0] == f"against {model_name(slowest)}"
