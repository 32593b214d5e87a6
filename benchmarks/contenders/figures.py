"""The figures of a row from what was measured: accuracy and its tests, times and their ratios."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

#: What ``Worker.turn`` gave in each round.
Turns = list[dict[str, Any]]


def accuracies(labels: dict[str, np.ndarray], expected: np.ndarray, reference: str) -> dict[str, dict[str, Any]]:
    """Accuracy with Wilson's 95 % interval, macro-F1, and McNemar's exact test against the reference, Holm-corrected.

    ``labels`` (rows,) by name and ``expected`` (rows,) are label numbers.
    """
    from sklearn.metrics import f1_score

    from tlm_edge.bench.statistics import accuracy_interval
    from tlm_edge.reproduce.statistics import holm, mcnemar

    results: dict[str, dict[str, Any]] = {}
    for name, found in labels.items():
        told = accuracy_interval(int((found == expected).sum()), len(expected))
        results[name] = {
            "accuracy": told.value,
            "interval_95": [told.low, told.high],
            "macro_f1": float(f1_score(expected, found, average="macro")),
        }
    others = [name for name in labels if name != reference]
    tests = {name: mcnemar(labels[name] == expected, labels[reference] == expected) for name in others}
    for name, corrected in zip(others, holm([tests[name].p for name in others]), strict=True):
        test = tests[name]
        results[name] |= {"only_it": test.only_first, "only_reference": test.only_second, "p": test.p}
        results[name]["p_holm"] = corrected
    return results


def times(turns: dict[str, Turns], reference: str) -> dict[str, dict[str, Any]]:
    """What ``summary`` tells of all texts and rounds, each round's median and mean, and ratios to the reference.

    ``model_ms`` is without tokenization, for those that tell it apart. ``ratio`` and ``model_ratio`` are of the rounds'
    medians, ``mean_ratio`` of their means (``_undisturbed``), with tokenization: what many texts take is the mean,
    which where some texts take far longer, as in a cascade, the median doesn't show.
    """
    whole = {name: _samples(rounds, ("prepare_us", "answer_us")) for name, rounds in turns.items()}
    model = {name: _samples(each, ("answer_us",)) for name, each in turns.items() if each[0]["separates"]}
    results: dict[str, dict[str, Any]] = {}
    for name, samples in whole.items():
        means = _undisturbed(samples).mean(axis=1)
        results[name] = {
            "text_ms": summary(samples),
            "model_ms": summary(model[name]) if name in model else None,
            "rounds_ms": [round(float(value), 5) for value in np.median(samples, axis=1)],
            "rounds_mean_ms": [round(float(value), 5) for value in means],
        }
        for kind, each in (("ratio", whole), ("model_ratio", model)):
            if name in each and reference in each:
                results[name][kind] = _ratio(np.median(each[name], axis=1), np.median(each[reference], axis=1))
        results[name]["mean_ratio"] = _ratio(means, _undisturbed(whole[reference]).mean(axis=1))
    return results


def model_samples(turns: Turns) -> np.ndarray:
    """Times in ms (rounds, texts), without tokenization where it is told apart."""
    return _samples(turns, ("answer_us",) if turns[0]["separates"] else ("prepare_us", "answer_us"))


def summary(samples: np.ndarray) -> dict[str, float]:
    """Percentiles of times in ms (rounds, texts), and the mean over texts of each one's median over rounds."""
    p50, p90 = np.percentile(samples, [50, 90])
    mean = np.median(samples, axis=0).mean()
    return {name: round(float(value), 5) for name, value in (("p50", p50), ("p90", p90), ("mean", mean))}


def _undisturbed(samples: np.ndarray) -> np.ndarray:
    """Times (rounds, texts) of which none counts as more than twice its text's median over rounds.

    The same text takes the same way in every round: what takes far longer is something else that had the processor.
    """
    return np.minimum(samples, 2 * np.median(samples, axis=0))


def _ratio(rounds: np.ndarray, reference: np.ndarray) -> dict[str, Any] | None:
    from tlm_edge.bench.statistics import ratio_interval

    ratio = ratio_interval(rounds, reference)
    return None if ratio is None else asdict(ratio)


def _samples(rounds: Turns, parts: tuple[str, ...]) -> np.ndarray:
    """Times in ms (rounds, texts)."""
    return np.array([np.sum([turn[part] for part in parts], axis=0) for turn in rounds]) / 1e3
