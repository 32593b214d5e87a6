"""What can be had from few labels: the shipped encoders, committees of them, n-grams and TF-IDF on the same few rows.

    python benchmarks/few_labels.py [--work FOLDER] [--finished]

Every draw takes other training rows, the first those of ``--rows-per-label``; the members, the n-grams and the weights
of their votes are what ``tlm-edge committee train --with-ngrams`` makes of them with its defaults and the shipped
encoders. TF-IDF (words and pairs) with logistic regression is that of ``tlm-edge reproduce``. The test rows are spread
evenly over the test file. What a draw gave is kept in FOLDER, and the same command goes on from there. In-process, on
one thread. What the defaults are worth is shown on the first draw by leaving their parts away, with the first encoder.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ[variable] = "false" if variable.startswith("TOK") else "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from environment import data_folder, describe_machine, kept_work_options, write_result  # noqa: E402 (beside this file)

from tlm_edge.cli.training_options import FINETUNE_LEAST_STEPS  # noqa: E402
from tlm_edge.compile.rewrite import rewrite  # noqa: E402
from tlm_edge.data.tasks import ROWS_SEED, Examples, Task, draw_rows, load_examples, load_task  # noqa: E402
from tlm_edge.data.tokenizer import load_tokenizer  # noqa: E402
from tlm_edge.files import write_json  # noqa: E402
from tlm_edge.modeling.committee import member_folders, vote_weights  # noqa: E402
from tlm_edge.modeling.members import load_ours  # noqa: E402
from tlm_edge.modeling.ngrams import NgramClassifier  # noqa: E402
from tlm_edge.reproduce.baseline import baseline_probabilities  # noqa: E402
from tlm_edge.runtime.classifier import batches_by_length  # noqa: E402
from tlm_edge.shipped import ENCODERS, resolve_model  # noqa: E402
from tlm_edge.training.classification import FinetuneJob, scratch_config  # noqa: E402
from tlm_edge.training.committee_training import CommitteeJob, run_committee  # noqa: E402
from tlm_edge.training.examples import encode_examples  # noqa: E402
from tlm_edge.training.finetune import FinetuneRecipe  # noqa: E402
from tlm_edge.training.finetune_job import run_finetune  # noqa: E402
from tlm_edge.training.scoring import example_probabilities  # noqa: E402

TASKS = {
    "agnews": ("agnews/train.jsonl.gz", "agnews/test.jsonl.gz"),
    "dbpedia": ("dbpedia/train.jsonl.gz", "dbpedia/test.jsonl.gz"),
    "fewrel": ("fewrel/train64.json.gz", "fewrel/test64.json.gz"),
}
#: Rows a label, and how often they are drawn: the fewer, the more depends on which.
DRAWS = {8: 3, 32: 3, 128: 1}
TEST_ROWS = 2000
#: What stands for the committee in the verdict: named before the test rows were looked at.
COMMITTEE = "committee of 3 + n-grams"


def main() -> None:
    options = kept_work_options(__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results: dict[str, Any] = {}
        left: list[list[Any]] = []
        for rows, times in DRAWS.items():
            for task in TASKS:
                seeds = range(ROWS_SEED, ROWS_SEED + times)
                wanted = [seed for seed in seeds if not options.finished or place(work, task, rows, seed).is_file()]
                left += [[task, rows, seed] for seed in seeds if seed not in wanted]
                if not wanted:
                    continue
                draws = [outcome(work, task, rows, seed) for seed in wanted]
                results.setdefault(task, {})[str(rows)] = summary(draws)
                shown = {name: round(100 * one["mean"], 1) for name, one in results[task][str(rows)]["models"].items()}
                print(f"{task}, {rows} rows a label: {shown}", flush=True)
    write_result(
        "few_labels",
        {
            "what": "test accuracy by rows a label",
            "provenance": "measured",
            "encoders": ENCODERS,
            "settings": {"first_draw_seed": ROWS_SEED, "members": len(ENCODERS), "test_rows": TEST_ROWS, "threads": 1},
            "recipe": asdict(FinetuneRecipe(least_steps=FINETUNE_LEAST_STEPS)),
            "committee": COMMITTEE,
            "accuracy": results,
            "not_run": left,
            "machine": describe_machine(),
        }
        | ({"took_seconds": None} if options.finished else {}),
    )


def place(work: Path, task: str, rows: int, seed: int) -> Path:
    """Where what a draw gave is kept."""
    return work / f"{task}-{rows}-{seed}.json"


def outcome(work: Path, name: str, rows: int, seed: int) -> dict[str, Any]:
    """The accuracies on one draw of ``rows`` rows a label, of each member where a model has several."""
    kept = place(work, name, rows, seed)
    if not kept.is_file():
        train, test = (data_folder() / file for file in TASKS[name])
        task = load_task(train)
        answers = load_examples(test, task.labels)
        chosen = np.linspace(0, len(answers) - 1, min(TEST_ROWS, len(answers))).round().astype(int)
        answers = Examples(tuple(answers.texts[row] for row in chosen), answers.labels[chosen])
        with tempfile.TemporaryDirectory() as folder:
            train_rows = draw_rows(task.splits["train"], rows, seed)
            write_json(kept, accuracies(Path(folder), task, train_rows, answers, controls=seed == ROWS_SEED))
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def accuracies(folder: Path, task: Task, train: Examples, test: Examples, *, controls: bool) -> dict[str, Any]:
    """Of every model that learns the rows of ``train``, on those of ``test``; with ``controls`` more of them."""
    data = folder / "rows.jsonl"
    lines = [
        json.dumps({"text": text, "label": task.labels[label]})
        for text, label in zip(train.texts, train.labels, strict=True)
    ]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = FinetuneRecipe(least_steps=FINETUNE_LEAST_STEPS)
    encoders = [resolve_model(name) for name in ENCODERS]
    job = FinetuneJob((str(data),), folder / "x", recipe, checkpoint=encoders[0], validation_share=None)

    def tuned(seed: int, kind: str, **changes: Any) -> np.ndarray:
        out = folder / f"{kind}-{seed}"
        run_finetune(replace(job, out=out, **{"recipe": replace(recipe, seed=seed), **changes}))
        return answers(out, test, out)

    committee = folder / "committee"
    run_committee(CommitteeJob(len(encoders), committee, job, tuple(encoders), with_ngrams=True))
    *members, ngrams = (answers(member, test, committee) for member in member_folders(committee))
    voted = {
        "member": members,
        "n-grams": [ngrams],
        "TF-IDF": [baseline_probabilities(train.texts, train.labels, test.texts, len(task.labels), 0)],
        "committee of 3": [np.mean(members, axis=0)],
        COMMITTEE: [np.average([*members, ngrams], axis=0, weights=vote_weights(committee))],
    }
    if controls:
        scratch = scratch_config("bert-1", encoders[0], hidden_size=None, heads=None, layers=None)
        voted["from scratch"] = [tuned(0, "scratch", checkpoint=None, scratch=scratch, tokenizer=encoders[0])]
        plain = replace(recipe, plain_start=True)
        voted["plain start"] = [tuned(0, "plain", recipe=plain)]
        if len(train) * recipe.epochs < FINETUNE_LEAST_STEPS * recipe.batch_size:
            few_steps = {"recipe": replace(plain, least_steps=0), "validation_share": 0.1}
            voted["plain start, few steps"] = [tuned(0, "few-steps", **few_steps)]
    return {
        name: [float((one.argmax(axis=1) == test.labels).mean()) for one in answers] for name, answers in voted.items()
    }


def answers(checkpoint: Path, test: Examples, tokenizer_folder: Path) -> np.ndarray:
    """Probabilities (rows, labels) of the texts of ``test``; of a BERT in its rewritten form, which is quicker."""
    model = load_ours(checkpoint)
    tokenizer = load_tokenizer(tokenizer_folder)
    config = model.config
    examples = encode_examples(tokenizer, test.texts, test.labels, config.max_position_embeddings)
    if isinstance(model, NgramClassifier):
        return example_probabilities(model, examples, config.pad_token_id)
    rewritten = rewrite(model, tokenizer.token_to_id("[CLS]"))
    logits = torch.zeros(len(examples), len(config.labels))
    with torch.no_grad():
        for rows in batches_by_length(examples.lengths.tolist(), 8192):
            batch = examples.batch(np.array(rows), config.pad_token_id)
            logits[rows] = rewritten(*map(torch.from_numpy, batch))
    probabilities: np.ndarray = logits.softmax(dim=1).numpy()
    return probabilities


def summary(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over draws of each model, and how far the committee is ahead of TF-IDF, paired by draw."""
    models = {}
    for name in draws[0]:
        given = [draw[name] for draw in draws if name in draw]
        means = [float(np.mean(one)) for one in given]
        deviation = float(np.std(means, ddof=1)) if len(means) > 1 else None
        models[name] = {"mean": float(np.mean(means)), "deviation": deviation, "draws": given}
    lead = [100 * (draw[COMMITTEE][0] - draw["TF-IDF"][0]) for draw in draws]
    return {"models": models, "lead_points": {"mean": float(np.mean(lead)), "draws": lead}}


if __name__ == "__main__":
    main()
