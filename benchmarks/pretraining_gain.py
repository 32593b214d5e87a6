"""What pre-training is worth: the shipped encoder against the same architecture from scratch, same fine-tuning budget.

    python benchmarks/pretraining_gain.py agnews
    python benchmarks/pretraining_gain.py fewrel

Every run is the command line's own: ``tlm-edge finetune`` and ``tlm-edge predict``, which are printed. Seeds are
paired; the test of a difference is McNemar's on the test rows of each seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from environment import (  # (beside this file)
    binomial_interval,
    data_folder,
    describe_machine,
    run_tlm_edge,
    write_result,
)

from tlm_edge.data.tasks import load_examples
from tlm_edge.reproduce.statistics import mcnemar

TASKS = {
    "agnews": {
        "train": "agnews/train.jsonl.gz",
        "test": "agnews/test.jsonl.gz",
        "options": ["--epochs", "3", "--learning-rate", "5e-4", "--mask-probability", "0.15"],
    },
    "fewrel": {
        "train": "fewrel/train64.json.gz",
        "test": "fewrel/test64.json.gz",
        "options": ["--epochs", "8", "--learning-rate", "1e-3", "--mask-probability", "0.15"],
    },
}


def main() -> None:
    options = _options()
    task = TASKS[options.task]
    train, test = (str(data_folder() / str(task[split])) for split in ("train", "test"))
    starts = {
        "pretrained": [options.encoder, "--plain-start"],
        "from scratch": ["--from-scratch", options.arch, "--tokenizer", options.encoder],
    }
    outcomes: dict[str, list[np.ndarray]] = {name: [] for name in starts}
    commands = []
    for seed in range(options.seeds):
        for name, start in starts.items():
            arguments = [
                *start,
                "--data",
                train,
                *task["options"],
                "--averaged",
                "0",
                "--seed",
                str(seed),
                "--threads",
                str(options.threads),
            ]
            commands.append("tlm-edge finetune " + " ".join(arguments).replace(str(data_folder()), "$TLM_EDGE_DATA"))
            print(commands[-1], flush=True)
            outcomes[name].append(run(arguments, test))
            print(f"  {name}, seed {seed}: accuracy {outcomes[name][-1].mean():.4f}", flush=True)
    write_result(
        f"pretraining_gain_{options.task}",
        {
            "what": "test accuracy of a pre-trained and a newly initialised encoder, same fine-tuning",
            "provenance": "measured",
            "commands": commands,
            "test_rows": len(outcomes["pretrained"][0]),
            "accuracy": {name: [float(o.mean()) for o in rows] for name, rows in outcomes.items()},
            "mean": {name: float(np.mean([o.mean() for o in rows])) for name, rows in outcomes.items()},
            "interval_95_first_seed": {
                name: binomial_interval(int(rows[0].sum()), len(rows[0])) for name, rows in outcomes.items()
            },
            "mcnemar_p": [
                mcnemar(*pair).p for pair in zip(outcomes["pretrained"], outcomes["from scratch"], strict=True)
            ],
            "machine": describe_machine(),
        },
    )


def run(arguments: list[str], test: str) -> np.ndarray:
    """Fine-tune, predict the test split; whether each row is right, bool (n,)."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        run_tlm_edge("finetune", *arguments, "--out", str(checkpoint))
        labels = tuple(json.loads((checkpoint / "config.json").read_text())["label2id"])
        examples = load_examples(test, labels)
        texts = Path(folder) / "texts.jsonl"
        texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in examples.texts), encoding="utf-8")
        lines = run_tlm_edge("predict", str(checkpoint), "--input", str(texts), "--json").splitlines()
        predicted = np.array([labels.index(json.loads(line)["label"]) for line in lines])
    return predicted == examples.labels


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--encoder", default="wiki-bert-1", help="a shipped model's name or a checkpoint")
    parser.add_argument("--arch", default="bert-1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
