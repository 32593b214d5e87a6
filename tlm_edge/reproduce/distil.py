"""From the folder of a reproduction to what is kept of it: ``python -m tlm_edge.reproduce.distil FOLDER OUT``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlm_edge.reproduce.conditions import Design
from tlm_edge.reproduce.folder import plan_of
from tlm_edge.reproduce.jobs import DATA_VARIABLE, Place
from tlm_edge.reproduce.outcome import OUTCOMES, read_outcomes
from tlm_edge.reproduce.overlap import Overlap, count_tokens, overlap_of_counts
from tlm_edge.reproduce.results import distil, read_overlaps, write_overlaps
from tlm_edge.runtime.errors import UserError

_CHUNK = 1 << 22


def measure_overlaps(place: Place) -> dict[str, dict[str, Overlap]]:
    """Measure the overlap of every corpus that was pre-trained on with every task, and note it in the folder.

    Corpora come from the cache of tokens that pre-training left. What was measured before isn't again; what can't be,
    because the data isn't at hand, is left out.
    """
    known = read_overlaps(place.folder)
    corpora = dict.fromkeys(
        o.corpus for o in read_outcomes(place.folder / OUTCOMES) if o.kind == "pretrain" and o.corpus
    )
    tasks = list(Design.of(place.plan).tasks)
    missing = [(corpus, task) for corpus in corpora for task in tasks if task not in known.get(corpus, {})]
    if not missing or (place.data is None and place.plan.data == "folder"):
        return known
    try:
        of_tasks = {task: _task_tokens(place, task) for task in dict.fromkeys(task for _, task in missing)}
        of_corpora = {
            corpus: _corpus_tokens(place, corpus) for corpus in dict.fromkeys(corpus for corpus, _ in missing)
        }
    except UserError:
        return known
    for corpus, task in missing:
        known.setdefault(corpus, {})[task] = overlap_of_counts(of_corpora[corpus], of_tasks[task])
    write_overlaps(place.folder, known)
    return known


def _task_tokens(place: Place, task: str) -> NDArray[np.int64]:
    from tlm_edge.data.tasks import load_task
    from tlm_edge.reproduce.overlap import unmarked

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Distil the folder that the command line names; exit as ``tlm-edge`` does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the reproduction, finished or not")
    parser.add_argument("out", type=Path, help="where to write what is kept; replaced if it is there")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get(DATA_VARIABLE), help="the folder of the plan's data"
    )
    options = parser.parse_args(arguments)
    try:
        measure_overlaps(Place(plan_of(options.folder), options.folder.absolute(), options.data))
        results = distil(options.folder, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(results.outcomes)} of {len(results.planned)} trainings: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
