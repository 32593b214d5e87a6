"""Rivals that are no BERT: fitted here, kept as arrays and JSON, and loaded again in their process."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contenders.contender import Contender, Rival
from contenders.rows import Rows
from contenders.static import fit_static

#: Rates and passes from the ranges that fastText's own tutorial names, ends included; a held-out tenth chooses.
FASTTEXT = [(rate, epochs) for rate in (0.1, 0.25, 0.5, 1.0) for epochs in (5, 15, 50)]
FASTTEXT_FIXED = {"wordNgrams": 2, "dim": 100, "bucket": 200_000, "seed": 0}
TFIDF = {"ngram_range": (1, 2), "sublinear_tf": True, "min_df": 2}


def simple_contenders(rows: Rows, work: Path) -> list[Contender]:
    """All of them, fitted unless ``work`` holds them."""
    fits: dict[str, tuple[str, Callable[[Rows, Path], dict[str, Any]]]] = {
        "TF-IDF + logistic regression": ("tfidf", fit_tfidf),
        "fastText": ("fasttext", fit_fasttext),
        "fastText, quantized": ("fasttext", fit_quantized_fasttext),
        "static embeddings + logistic regression": ("static", fit_static),
        "static embeddings, fine-tuned": ("static", lambda rows, folder: fit_static(rows, folder, tuned=True)),
    }
    contenders = []
    for name, (kind, fit) in fits.items():
        folder, told = work / f"{rows.task}-{_slug(name)}", work / f"{rows.task}-{_slug(name)}.json"
        if not told.exists():
            print(f"fitting {name}", flush=True)
            folder.mkdir(exist_ok=True)
            told.write_text(json.dumps(fit(rows, folder)), encoding="utf-8")
        contenders.append(Contender(name, kind, folder, settings=json.loads(told.read_text(encoding="utf-8"))))
    return contenders


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def fit_tfidf(rows: Rows, folder: Path) -> dict[str, Any]:
    import agnews_baseline

    strength, vectorizer, model = agnews_baseline.fit(rows.texts, rows.labels)
    vocabulary = {word: int(index) for word, index in vectorizer.vocabulary_.items()}
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    arrays = {"idf": vectorizer.idf_, "coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}
    np.savez(folder / "arrays.npz", **arrays)
    return {
        "library": "scikit-learn: TfidfVectorizer, LogisticRegression",
        "tokens": "lower-cased words of two letters or more, and pairs of them",
        **{name: value for name, value in TFIDF.items() if name != "ngram_range"},
        "C": strength,
        "C_chosen_from": list(agnews_baseline.STRENGTHS),
        "chosen_by": "a held-out tenth of the training rows, then refitted on all",
        "max_iter": 300,
    }


class Tfidf(Rival):
    """scikit-learn's own classes, as they were fitted."""

    separates = False

    def __init__(self, folder: Path) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        arrays = np.load(folder / "arrays.npz")
        vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self.vectorizer = TfidfVectorizer(vocabulary=vocabulary, **TFIDF)
        self.vectorizer.idf_ = arrays["idf"]
        self.model = LogisticRegression()
        self.model.coef_, self.model.intercept_ = arrays["coef"], arrays["intercept"]
        self.model.classes_ = arrays["classes"]

    def prepare(self, text: str) -> str:
        return text

    def answer(self, prepared: str) -> int:
        return int(self.label([prepared])[0])

    def label(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(self.model.predict(self.vectorizer.transform(texts)))


def words(text: str) -> str:
    """A text as fastText's tutorial prepares it: lower-cased, words apart from their punctuation."""
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def fit_fasttext(rows: Rows, folder: Path) -> dict[str, Any]:
    from sklearn.model_selection import train_test_split

    inner, outer = train_test_split(np.arange(len(rows.labels)), test_size=0.1, random_state=0, stratify=rows.labels)
    held_out = [words(rows.texts[row]) for row in outer]

    def score(rate: float, epochs: int) -> float:
        found = _labels(_train_fasttext(rows, inner, rate, epochs).predict(held_out)[0])
        return float(np.mean(found == rows.labels[outer]))

    rate, epochs = max(FASTTEXT, key=lambda each: score(*each))
    _train_fasttext(rows, np.arange(len(rows.labels)), rate, epochs).save_model(str(folder / "model.bin"))
    return {
        "library": "fasttext-numpy2-wheel",
        "tokens": "lower-cased words and signs, and pairs of them",
        "lr": rate,
        "epoch": epochs,
        "chosen_from": FASTTEXT,
        "rows": "in random order",
        "chosen_by": "a held-out tenth of the training rows, then refitted on all",
        **FASTTEXT_FIXED,
    }


def fit_quantized_fasttext(rows: Rows, folder: Path) -> dict[str, Any]:
    """The one before with its embeddings in product quantization, as its tutorial makes it smaller."""
    whole = folder.with_name(f"{rows.task}-{_slug('fastText')}")
    settings: dict[str, Any] = json.loads(whole.with_suffix(".json").read_text(encoding="utf-8"))
    model = _load_fasttext(whole / "model.bin")
    options = {"qnorm": True, "retrain": True, "cutoff": 100_000}
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        _write_fasttext(rows, np.arange(len(rows.labels)), file)
        model.quantize(input=file.name, epoch=settings["epoch"], lr=settings["lr"], thread=1, **options)
    model.save_model(str(folder / "model.bin"))
    return settings | options


def _train_fasttext(rows: Rows, chosen: np.ndarray, rate: float, epochs: int) -> Any:
    import fasttext

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        _write_fasttext(rows, chosen, file)
        return fasttext.train_supervised(file.name, lr=rate, epoch=epochs, thread=1, verbose=0, **FASTTEXT_FIXED)


def _write_fasttext(rows: Rows, chosen: np.ndarray, file: Any) -> None:
    # It reads a file from end to end: of rows that are sorted by label it forgets all labels but the last.
    shuffled = np.random.default_rng(0).permutation(chosen)
    file.writelines(f"__label__{rows.labels[row]} {words(rows.texts[row])}\n" for row in shuffled)
    file.flush()


def _load_fasttext(path: Path) -> Any:
    import fasttext

    fasttext.FastText.eprint = lambda *_, **__: None  # it warns of its own interface
    return fasttext.load_model(str(path))


def _labels(answers: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([int(each[0].removeprefix("__label__")) for each in answers], dtype=np.int64)


class FastText(Rival):
    """A fastText model; it splits its words by itself."""

    separates = False

    def __init__(self, folder: Path) -> None:
        self.model = _load_fasttext(folder / "model.bin")

    def prepare(self, text: str) -> str:
        return text

    def answer(self, prepared: str) -> int:
        return int(self.model.predict(words(prepared))[0][0].removeprefix("__label__"))

    def label(self, texts: Sequence[str]) -> np.ndarray:
        return _labels(self.model.predict([words(text) for text in texts])[0])
