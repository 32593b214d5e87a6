"""Models of this project as bundles in every runtime: single ones, committees of every size, mixed ones, a cascade."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contenders.contender import Contender, Rival
from contenders.rows import Rows

TARGETS = ("onnx", "tflite", "executorch")
#: Committees between one member and all of them stand in the table for the curve alone.
CURVE_TARGETS = ("onnx", "tflite")
#: What a cascade may lose of the accuracy of all members, a fraction, shown with this confidence.
MAX_DROP, CONFIDENCE = 0.002, 0.95


def shipped_models(rows: Rows, work: Path, committee: str) -> tuple[dict[str, Path], str]:
    """The task's models by name: ``committee``'s first members, with and without n-grams, and BERT-6 if there is one.

    The second value names the committee of all members. A cascade is among them if there are rows enough for its bound.
    """
    from tlm_edge.modeling.committee import build_committee, member_folders
    from tlm_edge.shipped import resolve_model, shipped_names
    from tlm_edge.training.calibration import rows_needed

    whole, home = resolve_model(committee), work / rows.task
    deep = {"BERT-6": resolve_model(f"{rows.task}-bert-6")} if f"{rows.task}-bert-6" in shipped_names() else {}
    count = len(member_folders(whole))
    home.mkdir(exist_ok=True)
    _bind(home, whole, *deep.values())
    members = [_member(whole, number, home) for number in range(count)]
    ngrams = ngram_model(rows, work, members[0])
    models = {"n-grams": ngrams, "BERT-1": members[0], **deep}
    for size in range(1, count + 1):
        name, pure = named(size), members[0] if size == 1 else whole if size == count else home / f"pure-{size}"
        if not pure.exists():
            build_committee(members[:size], pure)
        models |= {name: pure, f"{name} + n-grams": weighted([*members[:size], ngrams], rows, home / f"mixed-{size}")}
    if len(rows.held_out) >= 2 * rows_needed(MAX_DROP, CONFIDENCE):
        cascade = calibrated(models[f"{named(count)} + n-grams"], rows, home / "mixed-cascade")
        models |= {f"{named(count)} + n-grams, cascade": cascade}
    return models, named(count)


def weighted(members: Sequence[Path], rows: Rows, out: Path) -> Path:
    """The committee ``out`` of ``members``, its votes weighted by the rows for that; built unless it is there."""
    from tlm_edge.training.committee_training import build_measured

    if not out.exists():
        build_measured(members, out, None, weigh_on=str(rows.weighing))
    return out


def calibrated(committee: Path, rows: Rows, out: Path) -> Path:
    """The copy ``out`` of ``committee`` with a cascade that the same rows have calibrated; made unless it is there."""
    from tlm_edge.training.calibrate_committee import CalibrationJob, calibrate_committee

    if not out.exists():
        calibrate_committee(CalibrationJob(committee, str(rows.weighing), MAX_DROP, CONFIDENCE), out=out)
    return out


def _bind(work: Path, committee: Path, *others: Path) -> None:
    """End the run if ``work`` holds what was made of other models: what is there isn't made again."""
    from tlm_edge.files import sha256_file
    from tlm_edge.modeling.checkpoint import require_weights
    from tlm_edge.modeling.stored_cascade import members_digest

    digests = [members_digest(committee), *(sha256_file(require_weights(other)) for other in others)]
    bound = work / "models.json"
    if not bound.exists():
        bound.write_text(json.dumps(digests), encoding="utf-8")
    elif json.loads(bound.read_text(encoding="utf-8")) != digests:
        sys.exit(f"error: {work} holds what was made of other models: name a new folder with --work")


def named(size: int) -> str:
    """What the committee of the first so many members is called."""
    return "BERT-1" if size == 1 else f"committee of {size}"


def members_in(name: str) -> int:
    """How many one-layer BERTs vote in the model that is named so."""
    found = re.match(r"committee of (\d+)|(BERT-1)\b", name)
    return 0 if found is None else int(found[1] or 1)


def _member(committee: Path, number: int, work: Path) -> Path:
    """The member as a checkpoint of its own, which has its tokenizer."""
    from tlm_edge.modeling.checkpoint import copy_tokenizer
    from tlm_edge.modeling.committee import member_folders

    out = work / f"member-{number}"
    if not out.exists():
        shutil.copytree(member_folders(committee)[number], out)
        copy_tokenizer(committee, out)
    return out


def ngram_model(rows: Rows, work: Path, tokenizer: Path) -> Path:
    """The linear member that is trained on all training rows of the task, in ``work``."""
    from tlm_edge.training.ngrams import NgramJob, train_ngrams

    out = work / f"{rows.task}-ngrams"
    if not out.exists():
        train_ngrams(NgramJob(rows.sources, out, tokenizer))
    return out


def bundles(models: dict[str, Path], rows: Rows, work: Path) -> tuple[list[Contender], dict[str, str]]:
    """A contender a model, runtime and precision, exported unless ``work`` holds it; and what is refused, and why."""
    from tlm_edge.export.export import export_model
    from tlm_edge.runtime.errors import UserError

    contenders, refused = [], {}
    largest = max(map(members_in, models), default=0)
    for name, model in models.items():
        between = 1 < members_in(name) < largest
        for target in CURVE_TARGETS if between else TARGETS:
            for precision in ("int8", "fp32") if name in ("BERT-1", "BERT-6") else ("int8",):
                out = work / f"{rows.task} {name} {target} {precision}".replace(" ", "-").replace(",", "")
                called = f"{name}, {target} {precision}"
                if not out.exists():
                    print(f"exporting {called}", flush=True)
                    try:
                        export_model(model, target, precision, out, tell=lambda _: None)
                    except UserError as error:
                        refused[called] = str(error)
                        continue
                contenders.append(Contender(called, "bundle", out, model, settings_of(out, model), True))
    return contenders, refused


def settings_of(bundle: Path, model: Path) -> dict[str, Any]:
    """What the bundle's manifest, the cascade and the training of ``model`` say."""
    from tlm_edge.modeling.stored_cascade import read_cascade
    from tlm_edge.runtime.bundle import open_bundle

    manifest = open_bundle(bundle).manifest
    lengths = list(manifest.lengths)
    settings: dict[str, Any] = {
        "library": "tlm-edge",
        "runtime": manifest.target,
        "precision": manifest.precision,
        "rewrite": manifest.rewrite,
        "length": f"the next of {lengths}" if lengths else "each text's own",
        "max_length": manifest.max_length,
        "architecture": manifest.source.architecture,
        "checkpoint_sha256": manifest.source.sha256,
    }
    if manifest.weights:
        settings["weights"] = list(manifest.weights)
    if manifest.cascade:
        stored = read_cascade(model)
        assert stored is not None
        settings |= {"order": list(stored.order), "margins": list(stored.margins)}
        settings |= {"max_drop": stored.max_drop, "confidence": stored.confidence}
    return settings | {"training": training_settings(model)}


def training_settings(model: Path) -> list[dict[str, Any]]:
    """The recipe in the ``training.json`` of the model, or of each member."""
    from tlm_edge.modeling.committee import is_committee, member_folders

    told = []
    for folder in member_folders(model) if is_committee(model) else [model]:
        settings = json.loads((folder / "training.json").read_text(encoding="utf-8"))["settings"]
        told.append({name: value for name, value in settings.get("recipe", settings).items() if name != "tokenizer"})
    return told


def members_asked(bundle: Path, texts: Sequence[str]) -> np.ndarray:
    """How many members the cascade in ``bundle`` asks of each text by itself, int64 (texts,)."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.bundle_classifier import BundleClassifier

    classifier = BundleClassifier(open_bundle(bundle), 1)
    return np.concatenate([classifier.vote([ids]).members_used for ids in classifier.encoder.token_ids(texts)])


class Bundled(Rival):
    """A bundle as ``tlm_edge.load`` runs it."""

    separates = True

    def __init__(self, folder: Path, threads: int, labels: Sequence[str]) -> None:
        from tlm_edge.runtime.bundle import open_bundle
        from tlm_edge.runtime.bundle_classifier import BundleClassifier

        self.classifier = BundleClassifier(open_bundle(folder), threads)
        self.order = np.array([list(labels).index(label) for label in self.classifier.labels])
        self.known: dict[str, bytes] | None = None

    def forget(self, others: Sequence[str]) -> None:
        """Know the words of ``others`` alone, as if the texts that are asked next had never been met."""
        words = self.classifier.encoder.words
        if words is not None:
            if self.known is None:
                words.known = {}
                self.classifier.encoder.token_ids(others)
                self.known = words.known
            words.known = dict(self.known)

    def prepare(self, text: str) -> list[np.ndarray]:
        return self.classifier.encoder.token_ids([text])

    def answer(self, prepared: list[np.ndarray]) -> int:
        return int(self.order[self.classifier.vote(prepared).probabilities[0].argmax()])

    def label(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(self.order[self.classifier.probabilities(texts).argmax(axis=1)])
