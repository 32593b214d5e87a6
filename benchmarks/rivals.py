"""Committees, pure and mixed, beside BERT-6 and the strong simple rivals: accuracy and time of one text, on AG News.

    python benchmarks/rivals.py [--rounds 5] [--work FOLDER]

All learn from the same rows (train + train_extra). Every other row of the test set weights the votes of the mixed
committees and calibrates the cascade; every figure is of the rows between. Differences from the reference are tested
by McNemar's exact test, corrected for their number by Holm's method. Times are those of one text with tokenization, on
one thread at its own length: the rivals take turns in rounds, and a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ[variable] = "false" if variable.startswith("TOK") else "1"

import agnews_baseline  # noqa: E402 (beside this file)
import numpy as np  # noqa: E402
from cascade import split_rows  # noqa: E402
from environment import binomial_interval, data_folder, describe_machine, interval, write_result  # noqa: E402

#: Every other one is compared with it.
REFERENCE = "committee of 3 + n-grams, onnx int8"
#: Texts that are timed, in each round.
TEXTS = 100
#: Rates and passes that fastText's own tutorial recommends to try; a held-out tenth of the rows chooses.
FASTTEXT = [(rate, epochs) for rate in (0.25, 0.5) for epochs in (5, 15)]

#: Gives the label numbers of texts.
Predict = Callable[[list[str]], np.ndarray]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(exist_ok=True)
        weighing, held_out = split_rows(work)
        texts, expected, labels = _rows(held_out)
        rivals, settings = simple_rivals(labels)
        rivals |= our_models(work, weighing, labels)
        right = {name: predict(texts) == expected for name, predict in rivals.items()}
        results = accuracies(right)
        for name, figures in times(rivals, texts[:: len(texts) // TEXTS][:TEXTS], options.rounds).items():
            results[name] |= figures
            print(f"{name}: {results[name]['accuracy']:.4f}, {figures['ms']['median']:.3f} ms")
    write_result(
        "rivals",
        {
            "what": "accuracy and time of one text of committees, BERT-6 and simple rivals on AG News",
            "provenance": "measured",
            "settings": {"rounds": options.rounds, "texts_timed": TEXTS, "threads": 1, "rows": len(texts)} | settings,
            "reference": REFERENCE,
            "results": results,
            "machine": describe_machine(),
        },
    )


def _rows(file: Path) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    from tlm_edge.data.tasks import load_task

    task = load_task(str(data_folder() / "agnews" / "train.jsonl.gz"))
    from tlm_edge.data.tasks import load_examples

    examples = load_examples(str(file), task.labels)
    return list(examples.texts), np.asarray(examples.labels), task.labels


def simple_rivals(labels: tuple[str, ...]) -> tuple[dict[str, Predict], dict[str, Any]]:
    """Those that are no BERT, fitted, and the settings that held-out rows chose."""
    from tlm_edge.data.tasks import load_examples

    folder = data_folder() / "agnews"
    parts = [load_examples(str(folder / name), labels) for name in ("train.jsonl.gz", "train_extra.jsonl.gz")]
    texts = [text for part in parts for text in part.texts]
    known = np.concatenate([part.labels for part in parts])
    strength, tfidf = agnews_baseline.fit(texts, known)
    chosen, fasttext = fit_fasttext(texts, known)
    settings = {
        "training_rows": len(texts),
        "tfidf_C": strength,
        "fasttext": {"learning_rate": chosen[0], "epochs": chosen[1], "word_ngrams": 2},
    }
    return {
        "TF-IDF + logistic regression": tfidf,
        "fastText": fasttext,
        "static embeddings + logistic regression": fit_static_embeddings(texts, known),
    }, settings


def fit_fasttext(texts: list[str], labels: np.ndarray) -> tuple[tuple[float, int], Predict]:
    """fastText with word bigrams, lower-cased words apart from their punctuation as its tutorial prepares them."""
    import re

    import fasttext
    from sklearn.model_selection import train_test_split

    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))

    def train(rows: np.ndarray, rate: float, epochs: int) -> Any:
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.writelines(f"__label__{labels[row]} {words(texts[row])}\n" for row in rows)
            file.flush()
            return fasttext.train_supervised(
                file.name, lr=rate, epoch=epochs, wordNgrams=2, dim=100, bucket=200_000, thread=1, seed=0, verbose=0
            )

    def predict_with(model: Any, asked: list[str]) -> np.ndarray:
        return np.array([int(model.predict(words(text))[0][0].removeprefix("__label__")) for text in asked])

    inner, outer = train_test_split(np.arange(len(labels)), test_size=0.1, random_state=0, stratify=labels)
    held_out = [texts[row] for row in outer]
    scores = {each: np.mean(predict_with(train(inner, *each), held_out) == labels[outer]) for each in FASTTEXT}
    best = max(FASTTEXT, key=lambda each: scores[each])
    model = train(np.arange(len(labels)), *best)
    return best, lambda asked: predict_with(model, asked)


def fit_static_embeddings(texts: list[str], labels: np.ndarray) -> Predict:
    """The mean of wiki-bert-1's token embeddings, as model2vec takes them, and logistic regression on it."""
    from sklearn.linear_model import LogisticRegression

    from tlm_edge.data.tokenizer import load_tokenizer
    from tlm_edge.modeling.checkpoint import load_masked_language_model
    from tlm_edge.shipped import resolve_model

    folder = resolve_model("wiki-bert-1")
    table = load_masked_language_model(folder).encoder.embeddings.word.weight.detach().numpy()
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(128)

    def means(asked: list[str]) -> np.ndarray:
        return np.stack([table[encoding.ids[1:-1]].mean(axis=0) for encoding in tokenizer.encode_batch_fast(asked)])

    features = means(texts)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=1.0, max_iter=300).fit((features - centre) / scale, labels)
    return lambda asked: model.predict((means(asked) - centre) / scale)


def our_models(work: Path, weighing: Path, labels: tuple[str, ...]) -> dict[str, Predict]:
    """Ours as bundles in two runtimes, and BERT-6 as most would run it."""
    from tlm_edge.export.export import export_model
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.bundle_classifier import BundleClassifier
    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.calibrate_committee import CalibrationJob, calibrate_committee
    from tlm_edge.training.committee_training import build_measured
    from tlm_edge.training.ngrams import NgramJob, train_ngrams

    folder, single, committee = (
        data_folder() / "agnews",
        resolve_model("agnews-bert-1"),
        resolve_model("agnews-committee"),
    )
    ngrams, one, three, cascade = work / "ngrams", work / "one-mixed", work / "mixed", work / "mixed-cascade"
    sources = (str(folder / "train.jsonl.gz"), str(folder / "train_extra.jsonl.gz"))
    if not ngrams.exists():
        train_ngrams(NgramJob(sources, ngrams, single))
    build_measured([single, ngrams], one, None, weigh_on=str(weighing), force=True)
    build_measured([committee, ngrams], three, None, weigh_on=str(weighing), force=True)
    calibrate_committee(CalibrationJob(three, str(weighing), 0.002, 0.95), out=cascade, force=True)
    models: dict[str, Any] = {
        "n-grams": ngrams,
        "BERT-1": single,
        "BERT-1 + n-grams": one,
        "committee of 3": committee,
        "committee of 3 + n-grams": three,
        "committee of 3 + n-grams, cascade": cascade,
        "BERT-6": resolve_model("agnews-bert-6"),
    }
    rivals: dict[str, Predict] = {}
    for name, model in models.items():
        for target in ("onnx", "tflite"):
            out = work / f"{name} {target}".replace(" ", "-")
            bundle = BundleClassifier(open_bundle(out) if out.exists() else export_model(model, target, "int8", out), 1)
            rivals[f"{name}, {target} int8"] = _by(bundle, labels)
    return rivals | {"BERT-6, transformers' pipeline": pipeline(resolve_model("agnews-bert-6"), labels)}


def _by(classifier: Any, labels: tuple[str, ...]) -> Predict:
    order = np.array([labels.index(label) for label in classifier.labels])
    return lambda asked: order[classifier.probabilities(asked).argmax(axis=1)]


def pipeline(folder: Path, labels: tuple[str, ...]) -> Predict:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    classify = transformers.pipeline("text-classification", model=str(folder), device="cpu")

    def predict(asked: list[str]) -> np.ndarray:
        answers = [classify(text, truncation=True, max_length=128)[0]["label"] for text in asked]
        return np.array([labels.index(answer) for answer in answers])

    return predict


def accuracies(right: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Accuracy with its interval, and the test against the reference."""
    from scipy.stats import binomtest

    results: dict[str, dict[str, Any]] = {}
    for name, hits in right.items():
        results[name] = {"accuracy": float(hits.mean()), "interval_95": binomial_interval(int(hits.sum()), len(hits))}
        if name != REFERENCE:
            better, worse = int(np.sum(hits & ~right[REFERENCE])), int(np.sum(~hits & right[REFERENCE]))
            results[name] |= {
                "only_it": better,
                "only_reference": worse,
                "p": float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
            }
    tested = sorted((name for name in results if name != REFERENCE), key=lambda name: results[name]["p"])
    largest = 0.0
    for place, name in enumerate(tested):
        largest = max(largest, min(1.0, results[name]["p"] * (len(tested) - place)))
        results[name]["p_holm"] = largest
    return results


def times(rivals: dict[str, Predict], texts: list[str], rounds: int) -> dict[str, dict[str, Any]]:
    """The median of one text by itself, in ms a round, and its ratio to fastText's, round by round."""
    medians: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, predict in rivals.items():
            spent = []
            for text in texts:
                start = time.perf_counter_ns()
                predict([text])
                spent.append((time.perf_counter_ns() - start) / 1e6)
            if number:  # the first round warms up
                medians[name].append(float(np.median(spent)))
    fastest = np.array(medians["fastText"])
    return {
        name: {"ms": interval(np.array(each)), "ratio_to_fasttext": interval(np.array(each) / fastest), "rounds": each}
        for name, each in medians.items()
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
