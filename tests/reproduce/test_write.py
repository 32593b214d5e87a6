from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.reproduce.small import outcome
from tlm_edge.reproduce import distil
from tlm_edge.reproduce.folder import plan_of
from tlm_edge.reproduce.jobs import DATA_VARIABLE
from tlm_edge.reproduce.outcome import Outcome
from tlm_edge.reproduce.results import read_results
from tlm_edge.reproduce.write import deep_learned_less, write_findings


@pytest.fixture(scope="module")
def report(reproduction, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "folder"
    shutil.copytree(reproduction, folder)
    index = write_findings(folder, plan_of(folder))
    assert index == folder / "report" / "index.html"
    return index.parent


def test_a_page_a_finding_with_what_has_run(report) -> None:
    index = (report / "index.md").read_text(encoding="utf-8")
    assert "5 of the plan's 12 trainings have run (5 pre-trainings, 2 fine-tunings are missing)" in index
    for page in re.findall(r"\]\((\S+\.md)\)", index):
        assert (report / page).is_file()
        assert (report / page).with_suffix(".html").is_file()
    committee = (report / "4-committee.md").read_text(encoding="utf-8")
    assert "2 × bert-1" in committee
    assert "![" in committee
    size = (report / "2-corpus-size.md").read_text(encoding="utf-8")
    assert "**not run**" in size
    assert "![" not in size
    assert not (report / "2-corpus-size.png").exists()


@pytest.mark.parametrize(("shallow", "told"), [((3.9, 4.0), 1), ((4.4, 4.6), 0)])
def test_a_deep_model_that_learned_less_is_told_of(reproduction, shallow: tuple[float, ...], told: int) -> None:
    """Only where every seed of the deep one guesses worse than any of the shallow one."""

    def pretraining(architecture: str, seed: int, loss: float) -> Outcome:
        name = f"pretrain-{architecture}-{seed}"
        kind = {"run": name, "kind": "pretrain", "task": None, "loss": loss, "tokens_seen": 12_000_000}
        return replace(outcome(architecture, "texts", seed), **kind)

    runs = [pretraining("bert-1", seed, loss) for seed, loss in enumerate(shallow)]
    results = replace(read_results(reproduction), outcomes=(*runs, pretraining("bert-3", 0, 4.5)))
    sentences = list(deep_learned_less(results))
    assert len(sentences) == told
    if told:
        assert "After 12 million tokens bert-3" in sentences[0] and "4.50 against 3.95 nats" in sentences[0]


def test_the_figures_are_there_as_json(report) -> None:
    found = json.loads((report / "findings.json").read_text(encoding="utf-8"))
    assert [one["number"] for one in found["findings"]] == [1, 2, 3, 4]
    (one,) = found["findings"][0]["comparisons"]
    value = sum(a - b for a, b in zip(one["first_accuracies"], one["second_accuracies"], strict=True)) / 2
    assert one["difference"]["value"] == pytest.approx(value)
    assert len(found["missing"]) == 7


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        assert tag != "script"
        self.found += [value for name, value in attributes if name in ("href", "src")]


def test_the_html_is_whole_and_fetches_only_what_lies_beside_it(report) -> None:
    for page in report.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert html.endswith("</html>\n")
        links = Links()
        links.feed(html)
        assert all((report / link).is_file() or link == "https://arxiv.org/abs/2507.14871" for link in links.found)
    assert "<table>" in (report / "index.html").read_text(encoding="utf-8")


def test_nothing_run_yet_is_a_report_too(reproduction, tmp_path) -> None:
    (tmp_path / "plan.toml").write_bytes((reproduction / "plan.toml").read_bytes())
    write_findings(tmp_path, plan_of(tmp_path))
    index = (tmp_path / "report" / "index.md").read_text(encoding="utf-8")
    assert "0 of the plan's 12 trainings have run" in index
    assert index.count("**not run**") == 4


def test_what_is_kept_gives_the_same_report(report, reproduction, tmp_path, capsys, monkeypatch) -> None:
    # The small plan's files are in no folder of real data.
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert distil.main([str(reproduction), str(tmp_path / "kept")]) == 0
    assert "5 of 12 trainings" in capsys.readouterr().out
    write_findings(tmp_path / "kept", read_results(tmp_path / "kept").plan)
    for page in report.glob("*.md"):
        assert (tmp_path / "kept" / "report" / page.name).read_text(encoding="utf-8") == page.read_text(
            encoding="utf-8"
        )


def test_a_folder_that_is_no_reproduction_is_told_in_a_line(tmp_path, capsys) -> None:
    assert distil.main([str(tmp_path), str(tmp_path / "kept")]) == 2
    assert re.fullmatch(r"error: .*plan\.toml.*\n", capsys.readouterr().err)
