"""What is measured beside the runs: the overlaps of corpora and tasks, and what words alone achieve."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tlm_edge.reproduce.baseline import baseline_probabilities
from tlm_edge.reproduce.conditions import Design
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.kept import kept_runs
from tlm_edge.reproduce.outcome import OUTCOMES, Outcome, outcome_path, read_outcomes, write_outcome
from tlm_edge.reproduce.overlap import Overlap, count_tokens, overlap_of_counts, unmarked
from tlm_edge.reproduce.results import BASELINE, read_overlaps, write_overlaps

#: The architecture of TF-IDF with logistic regression among the outcomes.
WORDS = "tfidf"
_CHUNK = 1 << 22


def measure(place: Place) -> None:
    """Measure what isn't known yet of the corpora and tasks that have runs, and note it in the folder.

    Nothing where the plan's data isn't at hand. The first time this takes seconds a task, minutes where a task has
    many labels and rows. Raises ``UserError`` for data that can't be read.
    """
    if place.data is None and place.plan.data == "folder":
        return
    outcomes = read_outcomes(place.folder / OUTCOMES)
    corpora = dict.fromkeys(o.corpus for o in outcomes if o.kind == "pretrain" and o.corpus is not None)
    tasks = dict.fromkeys(o.task for o in outcomes if o.kind == "finetune" and o.task is not None)
    _measure_overlaps(place, corpora, [task for task in Design.of(place.plan).tasks if task in tasks])
    kept = kept_runs(place.folder)
    for task in tasks:
        run = f"{BASELINE}-{task}"
        if run not in kept and not outcome_path(place.folder / OUTCOMES, run).exists():
            _measure_words(place, task)


def _measure_overlaps(place: Place, corpora: Iterable[str], tasks: Iterable[str]) -> None:
    """Corpora come from the cache of tokens that pre-training left."""
    known: dict[str, dict[str, Overlap]] = read_overlaps(place.folder)
    missing = [(corpus, task) for corpus in corpora for task in tasks if task not in known.get(corpus, {})]
    if not missing:
        return
    of_tasks = {task: _task_tokens(place, task) for task in dict.fromkeys(task for _, task in missing)}
    of_corpora = {corpus: _corpus_tokens(place, corpus) for corpus in dict.fromkeys(corpus for corpus, _ in missing)}
    for corpus, task in missing:
        known.setdefault(corpus, {})[task] = overlap_of_counts(of_corpora[corpus], of_tasks[task])
    write_overlaps(place.folder, known)


def _task_tokens(place: Place, task: str) -> NDArray[np.int64]:
    from tlm_edge.data.tasks import load_task

    plan = place.plan.tasks[task]
    loaded = load_task(place.source(plan.train), text_columns=plan.text_columns, label_column=plan.label_column)
    return count_tokens(unmarked(loaded.splits["train"].texts), place.tokenizer())


def _corpus_tokens(place: Place, corpus: str) -> NDArray[np.int64]:
    from tlm_edge.data.token_cache import load_token_cache
    from tlm_edge.data.tokenizer import load_tokenizer

    plan = place.plan.corpora[corpus]
    cache = load_token_cache(
        place.corpus(corpus), place.tokenizer(), articles=plan.articles, first_tokens=plan.first_tokens, workers=1
    )
    counts = np.zeros(load_tokenizer(place.tokenizer()).get_vocab_size(), dtype=np.int64)
    for start in range(0, len(cache.tokens), _CHUNK):
        counts += np.bincount(cache.tokens[start : start + _CHUNK], minlength=len(counts))
    return counts


def _measure_words(place: Place, task: str) -> None:
    """Fit TF-IDF with logistic regression on the rows that the task's models are fine-tuned on."""
    from tlm_edge.data.tasks import draw_rows, load_examples, load_task
    from tlm_edge.runtime.metrics import accuracy, macro_f1
    from tlm_edge.training.provenance import environment

    plan = place.plan.tasks[task]
    processor, wall = time.process_time(), time.monotonic()
    loaded = load_task(place.source(plan.train), text_columns=plan.text_columns, label_column=plan.label_column)
    train = loaded.splits["train"]
    if plan.rows_per_label is not None:
        train = draw_rows(train, plan.rows_per_label)
    test = load_examples(
        place.source(plan.test), loaded.labels, text_columns=plan.text_columns, label_column=plan.label_column
    )
    probabilities = baseline_probabilities(train.texts, train.labels, test.texts, len(loaded.labels), seed=0)
    predicted = probabilities.astype(np.float16).argmax(axis=1)
    run = f"{BASELINE}-{task}"
    write_outcome(
        place.folder / OUTCOMES,
        Outcome(
            run=run,
            kind=BASELINE,
            architecture=WORDS,
            corpus=None,
            corpus_tokens=0,
            tokens_seen=0,
            task=task,
            rows_per_label=plan.rows_per_label,
            seed=0,
            command=f"tlm-edge reproduce {place.plan.name}",
            seconds=round(time.process_time() - processor, 1),
            wall_seconds=round(time.monotonic() - wall, 1),
            loss=None,
            labels=loaded.labels,
            expected=f"{task}.expected.npy",
            probabilities=f"{run}.npy",
            accuracy=accuracy(test.labels, predicted),
            macro_f1=macro_f1(test.labels, predicted),
            machine=environment(),
        ),
        expected=test.labels,
        probabilities=probabilities,
    )
