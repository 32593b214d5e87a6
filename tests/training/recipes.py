"""Small jobs on the shipped evaluation texts, for tests of whole runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.tiny_models import labelled_texts
from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.shipped import evaluation_texts
from tlm_edge.training.classification import FinetuneJob, scratch_config
from tlm_edge.training.finetune import FinetuneRecipe
from tlm_edge.training.pretrain import PretrainRecipe
from tlm_edge.training.pretrain_job import EncoderSizes, Limits, PretrainJob

DATA = str(evaluation_texts("agnews"))


def scratch(tokenizer: Path) -> EncoderConfig:
    return scratch_config("bert-1", tokenizer, hidden_size=32, heads=4, layers=None)


def finetune_job(tokenizer: Path, out: Path, /, **changes: Any) -> FinetuneJob:
    """Three epochs of 200 rows on an encoder of hidden size 32, from scratch."""
    recipe = {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3, **changes.pop("recipe", {})}
    options = {"data": (DATA,), "scratch": scratch(tokenizer), "tokenizer": tokenizer, "validation_share": 0.2}
    return FinetuneJob(out=out, recipe=FinetuneRecipe(**recipe), **{**options, **changes})


def corpus(folder: Path) -> Path:
    """The evaluation texts as a corpus, several times over."""
    path = folder / "corpus.txt"
    if not path.exists():
        path.write_text("\n\n".join(labelled_texts()[0] * 3), encoding="utf-8")
    return path


def pretrain_job(tokenizer: Path, out: Path, /, **changes: Any) -> PretrainJob:
    """Thirty steps of an encoder of hidden size 32, with dropout."""
    recipe = {"max_steps": 1, "batch_size": 8, "dropout": 0.1, **changes.pop("recipe", {})}
    options = {
        "corpus": (str(corpus(tokenizer.parent)),),
        "limits": Limits(steps=30),
        "sizes": EncoderSizes("bert-1", hidden_size=32, heads=4, max_length=32),
        "tokenizer": tokenizer,
    }
    return PretrainJob(out=out, recipe=PretrainRecipe(**recipe), **{**options, **changes})


def logged(path: Path) -> list[dict[str, Any]]:
    """The records of a log without what depends on the clock."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {key: value for key, value in record.items() if key not in ("seconds", "tokens_per_second")}
        for record in records
    ]


def tlm_edge(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "tlm_edge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
