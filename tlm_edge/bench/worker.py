"""The process that measures: one bundle, one runtime, nothing else loaded. ``python -m tlm_edge.bench.worker``.

Reads a job as JSON from standard input, or from the file named as its argument, and writes the outcome as one line of
JSON to standard output. It needs numpy, tokenizers, the bundle's runtime and ``tlm_edge.runtime``, and never PyTorch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.bench.job import Job
from tlm_edge.bench.machine import (
    busy_seconds,
    describe_machine,
    peak_resident_mb,
    read_conditions,
    resident_mb,
)
from tlm_edge.bench.new_words import NewWords
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.cascade import Votes
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json

#: The kinds of marks: a region begins, it ends, the memory is to be noted.
BEGIN, END, MEMORY = 1, 2, 3
_MARK = 0x544C0000


def work(job: Job) -> dict[str, Any]:
    """Do the job and give the outcome, a JSON object.

    Raises ``UserError`` if the bundle can't be opened or run here.
    """
    start = time.perf_counter()
    bundle = open_bundle(job.bundle)
    opened = time.perf_counter()
    # The runtime belongs to the process, not to the bundle: it is loaded before the bare memory is read.
    module = f"tlm_edge.runtime.{bundle.manifest.target}"
    if find_spec(module) is not None:
        runtime = import_module(module)
        if hasattr(runtime, "load_runtime"):
            runtime.load_runtime()
    # While instructions are counted the mark alone tells it: the kernel's answer is a text of changing length, after
    # which memory would be laid out otherwise in every run.
    bare_rss_mb = None if job.task == "count" else resident_mb()
    mark(MEMORY)
    loading = time.perf_counter()
    classifier = BundleClassifier(bundle, job.threads)
    load_ms = (time.perf_counter() - loading + opened - start) * 1e3
    outcome = {"labels": _label, "latency": _time, "count": _count}[job.task](classifier, job)
    return {
        "machine": dataclasses.asdict(describe_machine()),
        "runtime": {
            "name": classifier.session.runtime,
            "version": classifier.session.version,
            "provider": getattr(classifier.session, "provider", "CPU"),
            "threads": job.threads,
        },
        "load_ms": load_ms,
        "bare_rss_mb": bare_rss_mb,
        "peak_rss_mb": peak_resident_mb(),
        **outcome,
    }


def _label(classifier: BundleClassifier, job: Job) -> dict[str, Any]:
    """Every text's label, text by text and at its own length, as they are timed."""
    return _answers([classifier.vote(classifier.encoder.token_ids([text])) for text in job.texts])


def _answers(votes: Sequence[Votes]) -> dict[str, Any]:
    """The label of each vote on one text, and of a cascade how many members it asked."""
    used = [int(vote.members_used[0]) for vote in votes if vote.members_used is not None]
    return {"labels": [int(vote.probabilities.argmax()) for vote in votes]} | ({"members_used": used} if used else {})


def _count(classifier: BundleClassifier, job: Job) -> dict[str, Any]:
    """What ``_label`` gives, and the texts' tokens, with the first texts' steps marked for who counts them.

    The others are labelled before, or else the same ones: buffers and caches are to be as they are after many texts.
    """
    marked, others = job.texts[: job.counted], job.texts[job.counted :]
    rest = [classifier.vote(_token_ids(classifier, text, job.length)) for text in others or marked]
    votes = []
    # Collections would fall on one text or another.
    gc.disable()
    for text in marked:
        mark(BEGIN)
        token_ids = _token_ids(classifier, text, job.length)
        mark(END)
        mark(BEGIN)
        vote = classifier.vote(token_ids)
        mark(END)
        votes.append(vote)
    gc.enable()
    tokens = [len(_token_ids(classifier, text, job.length)[0]) for text in marked]
    return _answers(votes + rest if others else votes) | {"tokens": tokens}


def mark(kind: int) -> None:
    """Mark this moment for an emulator's observer (``emulation/plugin/observe.c``); nothing happens anywhere else.

    It is a system call that the kernel refuses: a policy's priority, of a policy that doesn't exist.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_get_priority_max(_MARK | kind)


def _time(classifier: BundleClassifier, job: Job) -> dict[str, Any]:
    before = read_conditions()
    first_ms = _timed_pass(classifier, dataclasses.replace(job, texts=job.texts[:1])).sum() / 1e6
    words = NewWords(classifier.encoder, job.texts)
    _repeat(lambda: _timed_pass(classifier, job, words), inferences=1, seconds=job.warm_up_seconds)
    busy, cpu, wall = busy_seconds(), time.process_time(), time.perf_counter()
    passes = _repeat(lambda: _timed_pass(classifier, job, words), inferences=job.inferences, seconds=job.seconds)
    wall, cpu, busy_after = time.perf_counter() - wall, time.process_time() - cpu, busy_seconds()
    samples = np.concatenate(passes)
    others = None if busy is None or busy_after is None else max(0.0, (busy_after - busy - cpu) / wall)
    return {
        "first_ms": float(first_ms),
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "others_busy_cores": others,
        "before": dataclasses.asdict(before),
        "after": dataclasses.asdict(read_conditions()),
        "tokens": [len(_token_ids(classifier, text, job.length)[0]) for text in job.texts],
        "tokenize_us": [round(value / 1e3, 1) for value in samples[:, 0].tolist()],
        "model_us": [round(value / 1e3, 1) for value in samples[:, 1].tolist()],
    }


def _token_ids(classifier: BundleClassifier, text: str, length: int | None) -> list[np.ndarray]:
    """The token ids of one text; with ``length``, its words cut or repeated to so many tokens with [CLS] and [SEP]."""
    ids: np.ndarray
    (ids,) = classifier.encoder.token_ids([text])
    if length is None:
        return [ids]
    words = ids[1:-1] if len(ids) > 2 else ids[-1:]
    return [np.concatenate([ids[:1], np.resize(words, length - 2), ids[-1:]])]


def _timed_pass(classifier: BundleClassifier, job: Job, words: NewWords | None = None) -> np.ndarray:
    """Nanoseconds of tokenization and of the model, int64 (texts, 2), one text at a time."""
    samples = np.empty((len(job.texts), 2), dtype=np.int64)
    for index, text in enumerate(job.texts):
        if words is not None:
            words.before(index)
        start = time.perf_counter_ns()
        token_ids = _token_ids(classifier, text, job.length)
        tokenized = time.perf_counter_ns()
        classifier.vote(token_ids)
        samples[index] = tokenized - start, time.perf_counter_ns() - tokenized
    return samples


def _repeat(run: Callable[[], np.ndarray], inferences: int, seconds: float) -> list[np.ndarray]:
    """Whole passes, so that every text weighs the same, until both minima are reached."""
    passes: list[np.ndarray] = []
    done, start = 0, time.perf_counter()
    while done < inferences or time.perf_counter() - start < seconds:
        passes.append(run())
        done += len(passes[-1])
    return passes


def main(arguments: list[str]) -> int:
    """Read a job, work, write the outcome; a fault that the user can repair is written as ``{"error": …}``."""
    # A runtime may print to standard output: that must not mix with the outcome.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.read()
    try:
        outcome = work(from_json(Job, json.loads(text)))
    except (UserError, JsonShapeError) as error:
        outcome = {"error": str(error)}
    answer.write(json.dumps(outcome) + "\n")
    answer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
