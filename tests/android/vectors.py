"""What the Python side computes, for the app's tests on the JVM to be held against."""

from __future__ import annotations

import json
import random
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from tlm_edge.bench.protocol import PROFILES, order_of_round, texts_to_time
from tlm_edge.bench.statistics import accuracy_interval, relative_spread, summarize
from tlm_edge.bench.texts import shipped_texts
from tlm_edge.export.export import export_model
from tlm_edge.modeling.committee import build_committee
from tlm_edge.modeling.stored_cascade import StoredCascade, members_digest, write_cascade
from tlm_edge.runtime.bundle import Bundle, open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.metrics import macro_f1
from tlm_edge.runtime.tokenize import TextEncoder
from tlm_edge.runtime.vote import soft_vote, softmax
from tlm_edge.shipped import evaluation_texts, models_folder
from tlm_edge.training.ngrams import NgramJob, train_ngrams

BUNDLES = ("agnews-committee/onnx-int8", "agnews-bert-6/onnx-int8", "agnews-bert-1/onnx-int8")
FLOAT_MODELS = ("agnews-committee", "agnews-bert-1")
BLOCK = 128
CURATED = (
    "", " ", "\t\n\r\v\f\x1c\x85\u2028", "Ünïcödé ÀÉÎÕÜ", "İstanbul ıI", "ΣΊΣΥΦΟΣ", "Straße ẞ",
    "北京 東京 서울 각힣", "한국어 문장", "日本語のテキスト。", "naïve café",
    "e\u0301 \u0065\u0323\u0301 \u0065\u0301\u0323", "\u1100\u1161\u11a8", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪",
    "zero\u200bwidth\u00adsoft\ufeffbom", "null\x00byte\x7fdel", "[CLS] [SEP][MASK] x[UNK]y [PAD]",
    "[sep] [CLS", "[[SEP]]", "x" * 100, "x" * 101, "é" * 100, "é" * 101, "a" * 10_000,
    "word " * 500, "don't U.S. $1,000.50 e-mail@example.com", "«quotes» „low“ …—–", "¿Qué? ¡Sí!",
    "𝕳𝖊𝖑𝖑𝖔 ﬁ ﷺ", "Ǆ ǅ ǆ Ω Å ﬀ", "ด้วย ภาษาไทย", "हिन्दी में लिखा", "العَرَبِيَّة", "עִבְרִית",
    "தமிழ்", "\u0f73\u0f75\u0f81", "\U000e0001tag", "\ufffd\ufffe\uffff", "\ue000private\U0010ffff",
    "\ud800half", "half\udc00 \udc00\ud800", "AT&T's Q3 (2024): +12.5%!",
    "```code``` _under_ ~tilde~ ^caret^", "\u3000ideographic space\u00a0nbsp\u1680ogham",
    "2\u2044 3 ½ ² ①", "Đặng Thị Ngọc Ánh",
)  # fmt: skip


def write_vectors(folder: Path, scratch: Path) -> None:
    """Write every file of vectors into ``folder``; tokenizers and bundles that are not shipped go to ``scratch``."""
    _write(folder / "tokens.jsonl", _tokens(scratch))
    bundles = [open_bundle(models_folder() / name) for name in BUNDLES]
    bundles += [export_model(model, "onnx", "fp32", scratch / model, tell=str) for model in FLOAT_MODELS]
    for made in (mixed(scratch), cascaded(scratch)):
        bundles.append(export_model(made, "onnx", "fp32", scratch / f"{made.name}-onnx", tell=str))
    write_answers(folder / "answers.jsonl", bundles)
    _write(folder / "statistics.jsonl", _statistics())
    _write(folder / "accuracies.jsonl", _accuracies())
    _write(folder / "votes.jsonl", _votes())
    _write(folder / "protocol.jsonl", [_protocol()])


def texts() -> list[str]:
    """Curated and random texts, and every character there is, in blocks."""
    generator = random.Random(11)  # noqa: S311
    found = list(CURATED)
    for start in range(0, 0x110000, BLOCK):
        points = [point for point in range(start, start + BLOCK) if not 0xD800 <= point <= 0xDFFF]
        if not any(unicodedata.category(chr(point)) not in ("Cn", "Co") for point in points) and start % 0x2000:
            continue  # of the unassigned and the private, one block in 64 will do
        found.append(" ".join(f"{chr(point)}a" for point in points))
        found.append("".join(chr(point) for point in points))
    marks = [chr(point) for point in range(0x110000) if unicodedata.combining(chr(point))]
    found += ["o" + "".join(generator.choices(marks, k=generator.randint(2, 6))) + "k" for _ in range(300)]
    found += [_random_text(generator) for _ in range(500)]
    words = " ".join(shipped_texts().texts).split()
    found += [" ".join(generator.choices(words, k=generator.randint(1, 60))) for _ in range(400)]
    return found + list(shipped_texts().texts)


def _random_text(generator: random.Random) -> str:
    limits = generator.choices((0x7F, 0x24F, 0x2FFF, 0xD7FF, 0x1FFFF, 0x10FFFF), k=20)
    points = [generator.randint(1, limit) for limit in limits]
    return "".join(chr(point) for point in points if not 0xD800 <= point <= 0xDFFF)


def _tokens(scratch: Path) -> Iterator[dict[str, Any]]:
    shipped = models_folder() / "agnews-committee" / "tokenizer.json"
    cased = scratch / "cased.json"
    other = tokenizers.Tokenizer.from_file(str(shipped))
    other.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=True
    )
    other.save(str(cased))
    for file, max_length in ((shipped, 128), (shipped, 100_000), (cased, 128)):
        encoder = TextEncoder(file, max_length)
        for text in texts():
            ids = encoder.token_ids([text])[0].tolist()
            yield {"tokenizer": str(file), "max_length": max_length, "text": text, "ids": ids}


def write_answers(file: Path, bundles: Iterable[Bundle]) -> None:
    """Write what Python's runtimes answer to some 550 texts with each of ``bundles``."""
    _write(file, (answer for bundle in bundles for answer in _answers(bundle)))


def mixed(scratch: Path) -> Path:
    """Two shallow encoders and token n-grams in one committee, their votes weighted."""
    if not (folder := scratch / "mixed").exists():
        shipped = models_folder() / "agnews-committee"
        data, ngrams = str(evaluation_texts("agnews")), scratch / "ngrams"
        train_ngrams(NgramJob((data,), ngrams, shipped, buckets=4096, test_data=data))
        build_committee([shipped / "members/00", shipped / "members/01", ngrams], folder, weights=(0.5, 0.2, 0.3))
    return folder


def cascaded(scratch: Path) -> Path:
    """The mixed committee as a cascade that asks the n-grams first, and whose every stage decides many of the texts."""
    folder = scratch / "cascaded"
    shutil.copytree(mixed(scratch), folder)
    told = {"max_drop": 0.01, "confidence": 0.95, "data": "none", "rows": 0, "p_value": 1.0}
    found = {"accuracy": 0.0, "full_accuracy": 0.0, "mean_members": 0.0}
    write_cascade(folder, StoredCascade((2, 0, 1), (0.5, 0.5), members_digest(folder), **told, **found))
    return folder


def _asked() -> list[str]:
    generator = random.Random(5)  # noqa: S311
    shipped = shipped_texts().texts
    words = " ".join(shipped).split()
    made = [" ".join(generator.choices(words, k=generator.randint(1, 150))) for _ in range(300)]
    return [*shipped, *made, *(text for text in CURATED if len(text) < 2_000)]


def _answers(bundle: Bundle) -> Iterator[dict[str, Any]]:
    classifier = BundleClassifier(bundle, threads=1)
    for text in _asked():
        outputs = classifier.outputs(classifier.encoder.token_ids([text]))
        logits = outputs.get("member_logits", outputs.get("logits"))
        votes = outputs["probabilities"][0] if "probabilities" in outputs else softmax(outputs["logits"])[0]
        yield {
            "bundle": str(bundle.folder),
            "text": text,
            "member_logits": None if logits is None else logits.reshape(-1, len(classifier.labels)).tolist(),
            "probabilities": votes.tolist(),
            "members_used": int(outputs["members_used"][0]) if "members_used" in outputs else None,
            "label": int(votes.argmax()),
        }


def _statistics() -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(1)
    for size in (1, 2, 3, 9, 10, 11, 100, 1001):
        samples = generator.lognormal(size=size)
        yield {
            "samples": samples.tolist(),
            "summary": [float(value) for value in astuple(summarize(samples))],
            "spread": relative_spread(samples.tolist()),
        }


def _accuracies() -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(2)
    for size in (1, 5, 200):
        expected, given = generator.integers(0, 4, size=(2, size))
        interval = accuracy_interval(int(np.sum(expected == given)), size)
        yield {
            "expected": expected.tolist(),
            "given": given.tolist(),
            "interval": [interval.value, interval.low, interval.high],
            "macro_f1": macro_f1(expected, given),
        }


def _votes() -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(3)
    for members in (1, 3, 5):
        logits = generator.normal(scale=8, size=(1, members, 4)).astype(np.float32)
        for weights in ([], generator.dirichlet([1] * members).tolist()):
            probabilities = soft_vote(logits, weights)[0].tolist()
            yield {"member_logits": logits[0].tolist(), "weights": weights, "probabilities": probabilities}


def _protocol() -> dict[str, Any]:
    shipped = shipped_texts()
    profiles = [
        {
            "name": profile.name,
            "inferences": profile.inferences,
            "seconds": profile.seconds,
            "rounds": profile.rounds,
            "warm_up_seconds": profile.warm_up_seconds,
            "block_inferences": profile.block_inferences,
            "timed": texts_to_time(shipped.texts, profile, 0),
        }
        for profile in PROFILES.values()
    ]
    orders = [
        {"entries": entries, "number": number, "order": order_of_round(entries, number)}
        for entries in (1, 2, 3, 5)
        for number in range(8)
    ]
    return {
        "texts": shipped.texts,
        "labels": shipped.labels,
        "sha256": shipped.sha256,
        "profiles": profiles,
        "orders": orders,
    }


def _write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
