from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from tlm_edge.cli import app
from tlm_edge.report.page import page
from tlm_edge.report.write import write_report
from tlm_edge.runtime.errors import UserError

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Checks nesting, and collects what a page would fetch and its ids."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            link = values.get(name)
            if link and not link.startswith(("#", "data:")):
                self.fetched.append(link)
        assert tag != "script"

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def html(measured):
    return page(measured[0].records)


def outline(html):
    parser = Outline()
    parser.feed(html)
    parser.close()
    return parser


def test_the_page_is_whole_and_fetches_nothing(html):
    parser = outline(html)
    assert parser.open == []
    assert parser.fetched == []
    assert not re.findall(r"url\((?!#|data:)", html)
    assert not re.findall(r"@import|https?://(?!www\.w3\.org)", html)


def test_ids_are_unique_so_that_plots_do_not_borrow_from_each_other(html):
    ids = outline(html).ids
    assert len(ids) == len(set(ids))


def test_plots_follow_the_colours_of_the_page(html):
    assert html.count('<svg class="plot"') == 4
    assert "var(--series-0)" in html
    assert not re.findall(r"#0101[0-9a-f]{2}", html)


def test_the_page_says_what_the_records_say(html, measured):
    text = " ".join("".join(outline(html).text).split())
    for record in measured[0].records:
        assert record.bundle.sha256 in text
        assert record.device.machine.cpu in text
        assert f"{sum(len(block.model_us) for block in record.blocks):,} samples" in text
    assert measured[0].records[0].session.command in text
    assert "smoke test" in text
    assert "observed on the device named" in text
    assert "computed by a model of the device" not in text


def test_names_are_escaped(measured):
    record = measured[0].records[0]
    odd = replace(record, bundle=replace(record.bundle, source="<b>&\"odd'</b>"))
    html = page([odd])
    assert "<b>" not in html
    assert outline(html).open == []


def test_a_single_record_without_accuracy_has_a_page_too(measured):
    record = measured[0].records[0]
    figures = {
        name: replace(figure, value=None, provenance=None, low=None, high=None, note=None)
        if name in ("accuracy", "macro_f1", "agreement")
        else figure
        for name, figure in record.figures.items()
    }
    html = page([replace(record, labelling=None, figures=figures)])
    assert html.count('<svg class="plot"') == 1
    assert "smoke test" not in html


def test_a_report_is_written_whole_or_not_at_all(measured, tmp_path):
    records = measured[0].records
    written = write_report(records, tmp_path / "report")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "index.html",
        "pareto.png",
        "report.csv",
        "report.md",
    ]
    assert written.plots[0].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="exists already"):
        write_report(records, tmp_path / "report")
    write_report(records[:1], tmp_path / "report", force=True)
    with pytest.raises(ValueError, match="no records"):
        write_report([], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_command(measured, tmp_path):
    result = CliRunner().invoke(app, ["report", str(measured[1]), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "index.html").is_file()
    assert "index.html" in result.output
