"""Every precision of every target on the shipped models: size, accuracy, agreement, parity and latency.

    python benchmarks/targets.py [--data FOLDER] [--work FOLDER] [--model agnews-bert-1 …]

Each pair is exported through its gate and run by itself on AG News' whole test set, in a process without PyTorch, one
thread; logits are compared with PyTorch's text by text on the first 1,000 of it. A committee is one file in which every
member votes; ``cascade.py`` measures what asking in turn saves. Latencies come from ``tlm-edge bench`` on the shipped
evaluation texts, all bundles taking turns. Every pair of the smallest model is exported once more, by another process
with another hash seed, and the files compared byte by byte. Bundles and answers that are in the work folder already are
taken as they are. ``docs/write_targets.py`` makes ``docs/targets.md`` of the result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from environment import binomial_interval, data_folder, describe_machine, write_result  # isort: skip (beside this file)

MODELS = ("agnews-bert-1", "agnews-committee", "agnews-bert-6")
#: The model that is exported twice.
SMALLEST = "agnews-bert-1"
COMPARED_TEXTS = 1000


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for model in options.model:
            export(model, work)
        if SMALLEST in options.model:
            variables = os.environ | {"PYTHONHASHSEED": "7"}
            subprocess.run([sys.executable, __file__, "--again", str(work / "again")], check=True, env=variables)
        results = {model: measure(model, work, options.data) for model in options.model}
        add_latencies(results, work)
    write_result(
        "targets",
        {
            "what": "every precision of every target; accuracy and agreement on AG News' test set, latency of a text "
            "by itself",
            "provenance": "measured",
            "settings": {"threads": 1, "logits_compared_on": COMPARED_TEXTS},
            "refused": refusals(),
            "results": results,
            "machine": describe_machine(),
        },
    )


def pairs() -> list[tuple[str, str]]:
    """Every target with every precision that it has."""
    from tlm_edge.export.registry import require_target, target_names

    return [(name, precision) for name in target_names() for precision in require_target(name, "fp32").precisions]


def refusals() -> dict[str, dict[str, str]]:
    """The reasons by target and precision."""
    from tlm_edge.export.registry import require_target, target_names

    return {name: dict(require_target(name, "fp32").refused) for name in target_names()}


def export(model: str, work: Path) -> None:
    """Export ``model`` to every pair that isn't in ``work`` yet."""
    from tlm_edge.export.export import export_prepared
    from tlm_edge.export.prepare import prepare

    missing = [pair for pair in pairs() if not place(work, model, *pair).exists()]
    prepared = prepare(model, layout="fused") if missing else None
    for target, precision in missing:
        print(f"exporting {model} to {target} {precision}", flush=True)
        export_prepared(prepared, target, precision, place(work, model, target, precision))


def place(work: Path, model: str, target: str, precision: str) -> Path:
    return work / f"{model}-{target}-{precision}"


def measure(model: str, work: Path, data: Path) -> dict[str, Any]:
    """The figures of every pair of ``model`` but for its latency, by "target precision"."""
    from tlm_edge.data.tasks import load_examples
    from tlm_edge.export.source import load_source
    from tlm_edge.runtime.metrics import accuracy
    from tlm_edge.shipped import resolve_model

    source = load_source(resolve_model(model), layout="fused")
    examples = load_examples(str(data), source.labels)
    token_ids = [each.ids for each in source.tokenizer.encode_batch_fast(list(examples.texts[:COMPARED_TEXTS]))]
    logits = source.logits(token_ids)
    expected = source.probabilities(examples.texts).argmax(axis=1)
    figures: dict[str, Any] = {"PyTorch": with_interval(examples.labels, expected)}
    for target, precision in pairs():
        folder = place(work, model, target, precision)
        answer = folder.parent / f"{folder.name}.npz"
        if not answer.exists():
            print(f"running {folder.name}", flush=True)
            subprocess.run([sys.executable, __file__, "--run", str(folder), str(data), str(answer)], check=True)
        with np.load(answer, allow_pickle=False) as found:
            given = found["probabilities"].argmax(axis=1)
            difference = float(np.abs(found["logits"] - logits).max())
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        figures[f"{target} {precision}"] = with_interval(examples.labels, given) | {
            "agreement": accuracy(expected, given),
            "max_logit_difference": difference,
            "model_bytes": manifest["files"][manifest["model_file"]]["bytes"],
            "bundle_bytes": sum(path.stat().st_size for path in folder.iterdir()),
            "delegated": manifest["delegated"],
            "versions": manifest["versions"],
        }
        again = place(work / "again", model, target, precision)
        if again.exists():
            figures[f"{target} {precision}"]["same_bytes_again"] = same_bytes(folder, again)
    return figures


def with_interval(labels: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    """Accuracy with its 95 % interval."""
    correct = int((labels == given).sum())
    return {
        "accuracy": correct / len(labels),
        "interval": binomial_interval(correct, len(labels)),
        "texts": len(labels),
    }


def same_bytes(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in other.iterdir()) and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


def run(folder: str, data: str, answer: str) -> None:
    """The worker's part: probabilities of all texts, logits (texts, members, labels) of the first ones, each alone."""
    from tlm_edge.data.tasks import load_examples
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.bundle_classifier import BundleClassifier
    from tlm_edge.runtime.parity import member_logits

    classifier = BundleClassifier(open_bundle(folder), 1)
    texts = load_examples(data, classifier.labels).texts
    token_ids = classifier.encoder.token_ids(texts[:COMPARED_TEXTS])
    logits = np.concatenate([member_logits(classifier.outputs([ids])) for ids in token_ids])
    if "torch" in sys.modules:
        sys.exit("error: PyTorch is in the process: the answer proves nothing")
    np.savez(answer, probabilities=classifier.probabilities(texts), logits=logits)


def add_latencies(results: dict[str, Any], work: Path) -> None:
    """Let ``tlm-edge bench`` time every bundle, and add the medians in ms to ``results``."""
    folders = {place(work, model, *pair).name: (model, " ".join(pair)) for model in results for pair in pairs()}
    records = work / "records"
    command = [sys.executable, "-m", "tlm_edge", "bench", *(str(work / name) for name in folders)]
    subprocess.run([*command, "--profile", "rapid", "--out", str(records), "--force"], check=True)
    for file in sorted(records.glob("*-t1.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        model, pair = folders[record["bundle"]["name"]]
        figures = record["figures"]
        results[model][pair] |= {
            "model_p50_ms": figures["model_p50"]["value"],
            "latency_p50_ms": figures["latency_p50"]["value"],
            "steady": record["validity"]["valid"],
        }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with test.jsonl.gz")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--model", action="append", choices=MODELS)
    options = parser.parse_args()
    options.data = (options.data or data_folder() / "agnews") / "test.jsonl.gz"
    options.model = options.model or list(MODELS)
    return options


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(*sys.argv[2:])
    elif sys.argv[1:2] == ["--again"]:
        export(SMALLEST, Path(sys.argv[2]))
    else:
        main()
