"""What many runs of a plan need is made once: data, the tokenizer, corpora by their overlap with a task."""

from __future__ import annotations

from pathlib import Path

from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.runs import MADE_DATA, MADE_TOKENIZER, Run


def prepared(place: Place, run: Run) -> Path:
    """What ``run`` makes; it is there once it is whole."""
    if run.task is not None:
        return place.overlap_corpora(run.task)
    return place.folder / (MADE_DATA if run.name == "prepare-data" else MADE_TOKENIZER)


def prepare(place: Place, run: Run) -> None:
    """Make what ``run`` is for, unless it is there. Raises ``UserError`` if the sources don't suffice."""
    out = prepared(place, run)
    if out.exists():
        return
    if run.task is not None:
        _prepare_overlap(place, run.task, out)
    elif run.name == "prepare-data":
        from tlm_edge.reproduce.smoke_data import write_smoke_data

        write_smoke_data(out)
    else:
        _prepare_tokenizer(place, out)


def _prepare_overlap(place: Place, task: str, out: Path) -> None:
    from tlm_edge.data.tasks import load_task
    from tlm_edge.reproduce.overlap import write_overlap_corpora

    plan = place.plan.tasks[task]
    texts = load_task(place.source(plan.train), text_columns=plan.text_columns, label_column=plan.label_column)
    corpus = next(corpus for corpus in place.plan.corpora.values() if corpus.overlap_with == task)
    sources = [place.source(file) for file in corpus.files]
    write_overlap_corpora(sources, texts.splits["train"].texts, place.tokenizer(), corpus.tokens or 0, out)


def _prepare_tokenizer(place: Place, out: Path) -> None:
    from tlm_edge.data.tokenizer import convert_tokenizer, train_tokenizer

    plan = place.plan
    if plan.tokenizer is not None:
        convert_tokenizer(place.source(plan.tokenizer), out)
        return
    files = {place.source(file): None for corpus in plan.corpora.values() for file in corpus.files}
    train_tokenizer(list(files), plan.vocab_size or 0, out)
