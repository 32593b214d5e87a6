"""The comparison of rivals: contenders come back from disk as they were fitted, in processes that take turns."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tlm_edge.data.tasks import load_task
from tlm_edge.shipped import models_folder, shipped_names

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield _rows(tmp_path_factory.mktemp("rows") / "weighing.jsonl")


def _rows(weighing):
    from contenders.rows import Rows

    task = load_task(str(models_folder() / "evaluation" / "agnews.jsonl"))
    train = task.splits["train"]
    texts = list(train.texts)
    return Rows("agnews", task.labels, (), texts, train.labels, weighing, texts[40:], texts[:40], train.labels[:40], ())


@pytest.fixture(scope="module")
def tfidf(rows, tmp_path_factory):
    from contenders.contender import Contender
    from contenders.simple import fit_tfidf

    folder = tmp_path_factory.mktemp("tfidf")
    return Contender("TF-IDF", "tfidf", folder, settings=fit_tfidf(rows, folder))


def test_tfidf_comes_back_as_it_was_fitted(rows, tfidf):
    import agnews_baseline
    from contenders.simple import Tfidf

    _, vectorizer, model = agnews_baseline.fit(rows.texts, rows.labels)
    again = Tfidf(tfidf.folder)
    assert again.label(rows.texts).tolist() == model.predict(vectorizer.transform(rows.texts)).tolist()
    features, expected = again.vectorizer.transform(rows.texts), vectorizer.transform(rows.texts)
    assert abs(features - expected).max() < 1e-12


def test_contenders_take_turns_in_processes_of_their_own(rows, tfidf):
    from contenders.process import process_of
    from contenders.simple import Tfidf
    from contenders.timing import measure

    with process_of(tfidf, rows.names, 1) as process:
        assert process.ask("label", rows.held_out) == Tfidf(tfidf.folder).label(rows.held_out).tolist()
    texts = rows.held_out[:6]
    told = measure([tfidf], rows.names, texts, texts, rows.other_texts, cores=2, rounds=2, speed_rounds=1)["TF-IDF"]
    assert [len(turn["answer_us"]) for turn in told.turns] == [6, 6]
    assert 0 < told.memory_mb["before_loading"] < told.memory_mb["loaded"] <= told.memory_mb["peak"]
    assert {way: len(speeds) for way, speeds in told.texts_per_second.items()} == {"one thread": 1, "all cores": 1}


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the shipped committee is not here")
def test_no_turn_begins_with_words_of_the_texts_that_are_timed(rows):
    from contenders.ours import Bundled
    from contenders.worker import Worker

    from tlm_edge.shipped import resolve_model

    worker = Worker(Bundled(resolve_model("agnews-committee") / "onnx-int8", 1, rows.names))
    worker.hold(["Zyxxyz wins", *rows.held_out[:2]], rows.other_texts)
    met = []
    for _ in range(2):
        worker.turn(0)
        met.append(set(worker.rival.classifier.encoder.words.known))
        worker.rival.forget(rows.other_texts)
        assert "Zyxxyz" not in worker.rival.classifier.encoder.words.known
    assert met[0] == met[1] and "Zyxxyz" in met[0]


def test_a_contender_that_fails_says_why(rows, tmp_path):
    from contenders.contender import Contender
    from contenders.process import WorkerError, process_of

    nothing = Contender("lost", "tfidf", tmp_path)
    with pytest.raises(WorkerError, match=r"(?s)lost: .*arrays\.npz"), process_of(nothing, rows.names, 1):
        pass


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the shipped committee is not here")
def test_work_is_counted_at_each_text_s_own_length(rows, tfidf):
    from contenders.arithmetic import work_of
    from contenders.contender import Contender
    from contenders.simple import Tfidf

    from tlm_edge.compile.inspect import inspect_model
    from tlm_edge.runtime.tokenize import TextEncoder
    from tlm_edge.shipped import resolve_model

    work = work_of(tfidf, rows.held_out)
    terms = Tfidf(tfidf.folder).vectorizer.transform(rows.held_out).nnz / len(rows.held_out)
    assert work.multiply_adds == pytest.approx(terms * len(rows.names))
    committee = resolve_model("agnews-committee")
    bundle = Contender("committee", "bundle", committee / "onnx-int8", committee, {"precision": "int8"}, True)
    (ids,) = TextEncoder(committee / "tokenizer.json", 128).token_ids(rows.held_out[:1])
    whole = inspect_model(committee, len(ids)).rewritten[-1]
    work = work_of(bundle, rows.held_out[:1])
    assert (work.multiply_adds, work.bytes_read) == (whole.multiply_adds, whole.bytes_read / 4)


def test_the_slower_of_computing_and_reading_is_the_roof(rows):
    from contenders.limits import roofline_ms

    limits = {"gflops_fp32": 100.0, "gops_int8": 400.0, "gb_per_second": {"1024": 64.0, "1048576": 16.0}}
    assert roofline_ms(limits, 50e6, 1000, "fp32") == pytest.approx(1.0)
    assert roofline_ms(limits, 50e6, 1000, "int8") == pytest.approx(0.25)
    assert roofline_ms(limits, 1, 16e6, "fp32") == pytest.approx(1.0)


def test_figures_of_two_contenders(rows):
    from contenders import figures, members

    expected = np.array([0, 1, 0, 1] * 10)
    worse = expected.copy()
    worse[:8] = 1 - worse[:8]
    told = figures.accuracies({"good": expected, "worse": worse}, expected, "good")
    assert told["worse"]["accuracy"] == told["worse"]["macro_f1"] == 0.8
    assert (told["worse"]["only_it"], told["worse"]["only_reference"]) == (0, 8)
    assert told["worse"]["p_holm"] == pytest.approx(2 / 2**8)
    turns = {
        name: [{"prepare_us": [1e3, 1e3], "answer_us": [slow, slow], "separates": True}] * 4
        for name, slow in (("good", 1e3), ("worse", 3e3))
    }
    times = figures.times(turns, "good")
    assert times["worse"]["text_ms"] == {"p50": 4.0, "p90": 4.0, "mean": 4.0}
    assert (times["worse"]["ratio"]["value"], times["worse"]["model_ratio"]["value"]) == pytest.approx((2.0, 3.0))
    ms = {"BERT-1": 0.1, "committee of 2": 0.2, "committee of 3": 0.3}
    rows_told = {f"{name}, onnx int8": {"model_ms": {"p50": value}} for name, value in ms.items()}
    rows_told |= {f"BERT-6, onnx {precision}": {"model_ms": {"p50": 2.0}} for precision in ("int8", "fp32")}
    assert members.crossover(rows_told, 3, "onnx")["as_slow_as"]["BERT-6, onnx int8"] == pytest.approx(20)


def test_means_tell_of_slow_texts_and_not_of_disturbed_rounds(rows):
    from contenders import figures

    quick = [{"prepare_us": [0.0] * 4, "answer_us": [100.0] * 4, "separates": True} for _ in range(5)]
    slow = [{"prepare_us": [0.0] * 4, "answer_us": [100.0, 100.0, 100.0, 5000.0], "separates": True} for _ in range(5)]
    quick[2]["answer_us"] = [100.0, 9000.0, 100.0, 100.0]
    told = figures.times({"quick": quick, "slow": slow}, "quick")
    assert told["slow"]["ratio"]["value"] == pytest.approx(1.0)
    assert (told["quick"]["text_ms"]["mean"], told["slow"]["text_ms"]["mean"]) == (0.1, 1.325)
    assert told["quick"]["rounds_mean_ms"] == [0.1, 0.1, 0.125, 0.1, 0.1]
    assert 12 < told["slow"]["mean_ratio"]["value"] < 13.25


def test_a_shared_trunk_saves_what_the_first_layers_took_of_the_texts_that_go_on(rows):
    from contenders import early_exit

    both = [{"prepare_us": [9.0, 9.0], "answer_us": [300.0, 5200.0], "separates": True}] * 3
    first = [{"prepare_us": [9.0, 9.0], "answer_us": [250.0, 200.0], "separates": True}] * 3
    told = early_exit.shared_trunk(both, first, np.array([False, True]))
    assert (told["p50"], told["mean"]) == pytest.approx(((0.3 + 5.0) / 2, (0.3 + 5.0) / 2))


def test_the_cheapest_exit_is_taken(rows):
    from contenders.early_exit import Exit, cheapest

    tried = [Exit(layers, Path(), Path(), 0.2, 0.9, cost) for layers, cost in ((1, 80e6), (2, 60e6), (3, 95e6))]
    assert cheapest(tried).layers == 2


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the shipped committee is not here")
def test_a_cascade_s_work_is_that_of_the_members_it_asks(rows, tmp_path):
    from contenders.arithmetic import work_of
    from contenders.contender import Contender
    from contenders.ours import members_asked, settings_of

    from tlm_edge.compile.inspect import inspect_model
    from tlm_edge.export.export import export_model
    from tlm_edge.modeling.stored_cascade import StoredCascade, members_digest, write_cascade
    from tlm_edge.runtime.tokenize import TextEncoder
    from tlm_edge.shipped import resolve_model

    committee = tmp_path / "committee"
    shutil.copytree(resolve_model("agnews-committee"), committee, ignore=shutil.ignore_patterns("onnx-int8"))
    shown = {"max_drop": 0.01, "confidence": 0.9, "data": "these", "rows": 40, "mean_members": 1.5, "p_value": 0.01}
    accuracies = {"accuracy": 0.9, "full_accuracy": 0.9}
    cascade = StoredCascade((1, 0, 2), (0.6, 0.6), members_digest(committee), **shown, **accuracies)
    write_cascade(committee, cascade)
    bundle = export_model(committee, "onnx", "int8", tmp_path / "bundle", tell=lambda _: None).folder
    settings = settings_of(bundle, committee)
    assert (settings["order"], settings["max_drop"], settings["confidence"]) == ([1, 0, 2], 0.01, 0.9)
    asked = members_asked(bundle, rows.held_out)
    assert set(asked.tolist()) == {1, 2, 3}
    lengths = [len(ids) for ids in TextEncoder(committee / "tokenizer.json", 128).token_ids(rows.held_out)]
    one = [inspect_model(committee / "members" / "00", length).rewritten[-1].multiply_adds for length in lengths]
    work = work_of(Contender("cascade", "bundle", bundle, committee, settings, True), rows.held_out)
    assert work.multiply_adds == pytest.approx(float(np.mean(asked * np.array(one))))


def _page(monkeypatch, tmp_path, record):
    """The page of rivals as it would be with ``record``."""
    docs = FOLDER.parent / "docs"
    monkeypatch.syspath_prepend(str(docs))
    script = runpy.run_path(str(docs / "write_rivals.py"))
    (tmp_path / "rivals.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setitem(script["page"].__globals__, "RESULTS", tmp_path)
    return " ".join(script["page"]().split())


def test_the_page_quotes_the_best_deep_configuration(monkeypatch, tmp_path):
    record = json.loads((FOLDER / "results" / "rivals.json").read_text(encoding="utf-8"))
    rows = record["results"] = {
        name: row for name, row in record["results"].items() if "early exit" not in name and "BERT-6's" not in name
    }
    record.pop("early_exit", None)
    best = min((name for name in rows if name.startswith("BERT-6")), key=lambda name: rows[name]["text_ms"]["p50"])
    for row in rows.values():  # a record from before there were means
        row["text_ms"].pop("mean", None)
    page = _page(monkeypatch, tmp_path, record)
    assert "**The best deep configuration**, the fastest of those at most 0.3 points below the" in page
    assert f"is «{best}»" in page

    def form(accuracy: float, ms: float) -> dict:
        times = dict.fromkeys(("p50", "p90", "mean"), ms)
        told = {
            "accuracy": accuracy,
            "text_ms": times,
            "model_ms": times,
            "rounds_mean_ms": [ms] * len(rows[best]["rounds_ms"]),
        }
        return rows["BERT-6, tflite int8"] | told | {"members_asked": {"timed": 1.25, "held_out": 1.2}}

    for row in rows.values():
        for times in filter(None, (row["text_ms"], row["model_ms"])):
            times["mean"] = times["p50"]
        row["rounds_mean_ms"] = row["rounds_ms"]
    held = rows["BERT-6, onnx fp32"]["accuracy"]
    rows["BERT-6's first 2 layers, tflite int8"] = form(held, 0.3)
    rows["BERT-6 early exit, tflite int8"] = form(held - 0.002, 0.5)
    rows["BERT-6 early exit, onnx int8"] = form(held - 0.02, 0.4)
    trunk = {"provenance": "estimated", "goes_on": 0.25, "model_ms": {"p50": 0.45, "p90": 0.45, "mean": 0.425}}
    tried = {"layers": 2, "goes_on": 0.22, "accuracy": 0.9, "multiply_adds": 8e7}
    record["early_exit"] = {"layers": 2, "tried": [tried], "training": {}, "shared_trunk": {"tflite": trunk}}
    page = _page(monkeypatch, tmp_path, record)
    assert "is «BERT-6 early exit, tflite int8»" in page
    assert "| 20.0% (25.0%) | 0.450, 0.425 |" in page
    assert "*estimated*" in page


@pytest.mark.skipif("agnews-bert-6" not in shipped_names(), reason="the shipped BERT-6 is not here")
def test_an_early_exit_is_trained_and_calibrated_once(rows, tmp_path, monkeypatch):
    from contenders import early_exit, ours

    from tlm_edge.modeling.config import read_config
    from tlm_edge.modeling.stored_cascade import read_cascade
    from tlm_edge.shipped import resolve_model

    for name, value in (("DEPTHS", (1,)), ("PASSES", 1), ("TITLED_PASSES", 1)):
        monkeypatch.setattr(early_exit, name, value)
    monkeypatch.setattr(ours, "MAX_DROP", 0.05)
    texts = models_folder() / "evaluation" / "agnews.jsonl"
    few = tmp_path / "few.jsonl"
    few.write_text("".join(texts.read_text(encoding="utf-8").splitlines(keepends=True)[:64]), encoding="utf-8")
    rows, deep = replace(rows, sources=(str(few), str(few)), weighing=texts), resolve_model("agnews-bert-6")
    (found,) = early_exit.exits(rows, tmp_path, deep)
    assert read_config(found.first).num_hidden_layers == 1
    stored = read_cascade(found.cascade)
    assert stored is not None and found.goes_on == stored.mean_members - 1
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert early_exit.exits(rows, tmp_path, deep) == (found,)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == made


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the shipped committee is not here")
def test_a_work_folder_is_of_the_models_that_it_was_begun_with(rows, tmp_path):
    from contenders.ours import _bind

    from tlm_edge.shipped import resolve_model

    committee, deep, shallow = map(resolve_model, ("agnews-committee", "agnews-bert-6", "agnews-bert-1"))
    _bind(tmp_path, committee, deep)
    _bind(tmp_path, committee, deep)
    with pytest.raises(SystemExit, match="made of other models"):
        _bind(tmp_path, committee, shallow)
