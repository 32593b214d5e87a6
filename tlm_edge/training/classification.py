"""A fine-tuning job made ready: labelled text as token ids, the tokenizer, the configuration, the first weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer

from tlm_edge.data.tasks import Task, draw_rows, load_examples, load_task
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.checkpoint import hugging_face_name, load_weights, read_weights, tokenizer_vocabulary
from tlm_edge.modeling.config import EncoderConfig, architecture, read_config
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.distillation import Distillation, Teacher
from tlm_edge.training.examples import EncodedExamples, encode_examples, split_validation
from tlm_edge.training.finetune import FinetuneRecipe, FinetuneTokenIds
from tlm_edge.training.tokens import special_id, special_ids

#: The share of the training rows that is held out where nothing else is said, and the fewest rows worth holding out.
_USUAL_SHARE = 0.1
_FEWEST_HELD_OUT = 200


class LabelledJob(Protocol):
    """What a job says of its labelled texts; the fields are those of ``FinetuneJob``."""

    @property
    def data(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def test_data(self) -> str | None: ...  # noqa: D102
    @property
    def text_columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def label_column(self) -> str | None: ...  # noqa: D102
    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rows_per_label(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True)
class FinetuneJob:
    """What to fine-tune on what.

    Either ``checkpoint`` is given, or ``scratch``, the configuration of a new encoder, with its ``tokenizer``.
    Several sources of ``data`` share the labels of the first. ``validation_share`` of the training rows is held out
    unless the first source has a validation split; if None a tenth, and none of rows so few that a tenth would tell
    little. ``test_data`` is only measured on, at the end.
    ``rows_per_label`` rows of each label are drawn from each source, always the same ones; all are taken if None.
    With ``max_length`` the classifier has only so many positions, and longer texts are cut to it ever after.
    ``bigram_buckets`` gives the encoder a table of that many rows for pairs of tokens, if it has none; of a checkpoint
    only the first ``layers`` are taken, if that is given.
    """

    data: tuple[str, ...]
    out: Path
    recipe: FinetuneRecipe
    checkpoint: Path | None = None
    scratch: EncoderConfig | None = None
    tokenizer: Path | None = None
    test_data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    columns: tuple[str, ...] = ()
    rows_per_label: int | None = None
    max_length: int | None = None
    bigram_buckets: int | None = None
    layers: int | None = None
    validation_share: float | None = 0.1
    half: bool = False
    #: Store weights as differences of this rank from those of ``checkpoint``; whole if None.
    low_rank: int | None = None
    #: A teacher to learn from beside the labels.
    distillation: Distillation | None = None
    #: Seed of the validation split, so that runs with different seeds can share it; that of the recipe if None.
    split_seed: int | None = None

    @property
    def source(self) -> Path:
        """The folder that the tokenizer comes from."""
        source = self.checkpoint or self.tokenizer
        if source is None or (self.scratch is None) == (self.checkpoint is None):
            raise ValueError("a job needs a checkpoint, or a new encoder's configuration with its tokenizer")
        return source


@dataclass(frozen=True)
class PreparedJob:
    """What training needs: the rows of each split as token ids, the tokenizer with the task's markers, the shape."""

    tokenizer: Tokenizer
    config: EncoderConfig
    ids: FinetuneTokenIds
    train: EncodedExamples
    validation: EncodedExamples | None
    test: EncodedExamples | None


def scratch_config(
    name: str, tokenizer: Path, *, hidden_size: int | None, heads: int | None, layers: int | None
) -> EncoderConfig:
    """The configuration of a new encoder for the vocabulary of ``tokenizer``."""
    loaded = load_tokenizer(tokenizer)
    config = architecture(name, vocab_size=loaded.get_vocab_size(), hidden_size=hidden_size, heads=heads, layers=layers)
    return replace(config, pad_token_id=special_id(loaded, "[PAD]", tokenizer))


def prepare(job: FinetuneJob) -> PreparedJob:
    """Read the data of ``job`` and tokenize it. Raises ``UserError`` for input that doesn't fit."""
    tokenizer = load_tokenizer(job.source)
    task, more = load_tasks(job)
    markers = _add_markers(tokenizer, task)
    config = _config(job, tokenizer, task, markers)
    seed = job.recipe.seed if job.split_seed is None else job.split_seed
    teacher = None if job.distillation is None else Teacher(job.distillation, task.labels)
    length = config.max_position_embeddings
    splits = encode_splits(task, more, tokenizer, length, job.validation_share, seed, teacher)
    return PreparedJob(tokenizer, config, _token_ids(tokenizer, job.source), *splits)


def load_pretrained(model: SequenceClassifier, checkpoint: Path) -> None:
    """Copy the encoder's weights; what the checkpoint lacks (new tokens, pooler, classifier) keeps its start."""
    weights = read_weights(checkpoint)
    own = model.state_dict()
    for name in ("pooler.weight", "pooler.bias", "classifier.weight", "classifier.bias"):
        theirs = hugging_face_name(name)
        if theirs in weights and (
            weights[theirs].shape != own[name].shape or read_config(checkpoint).labels != model.config.labels
        ):
            del weights[theirs]
    words = hugging_face_name("encoder.embeddings.word.weight")
    missing = model.config.vocab_size - len(weights[words]) if words in weights else 0
    if missing > 0:
        fresh = own["encoder.embeddings.word.weight"][-missing:]
        weights[words] = torch.cat([weights[words].float(), fresh])
    positions = hugging_face_name("encoder.embeddings.position.weight")
    if positions in weights:
        weights[positions] = weights[positions][: model.config.max_position_embeddings]
    optional = r"bert\.pooler\.|classifier\."
    if not read_config(checkpoint).bigram_buckets:
        optional += r"|bert\.embeddings\.bigram_embeddings\."
    load_weights(model, weights, checkpoint, optional=optional)


def load_tasks(job: LabelledJob) -> tuple[Task, list[Task]]:
    """The first source of ``job``, with its test texts if they are named, and the others, sharing its labels.

    Raises ``UserError`` for input that doesn't fit.
    """
    options: dict[str, Any] = {
        "text_columns": job.text_columns,
        "label_column": job.label_column,
        "columns": job.columns,
    }
    task = load_task(job.data[0], **options)
    more = [load_task(source, **options, labels=task.labels) for source in job.data[1:]]
    for source, other in zip(job.data[1:], more, strict=True):
        if other.markers != task.markers:
            raise UserError(f"{source}: its texts mark entities otherwise than those of {job.data[0]}: convert one")
        if "train" not in other.splits:
            raise UserError(f"{source}: no split 'train' to learn from: leave it out, or name the file itself")
    if job.rows_per_label is not None:
        task, more = _fewer_rows(task, job.rows_per_label), [_fewer_rows(one, job.rows_per_label) for one in more]
    if job.test_data is not None:
        test = load_examples(job.test_data, task.labels, **options)
        task = replace(task, splits=task.splits | {"test": test})
    return task, more


def _fewer_rows(task: Task, rows_per_label: int) -> Task:
    return replace(task, splits=task.splits | {"train": draw_rows(task.splits["train"], rows_per_label)})


def _add_markers(tokenizer: Tokenizer, task: Task) -> tuple[int, ...]:
    """Make the task's markers special tokens; the ids of those that open an entity, whose rows are read."""
    if not task.markers:
        return ()
    tokenizer.add_special_tokens(list(task.markers))
    return tuple(tokenizer.token_to_id(marker) for marker in task.markers if not marker.startswith("[/"))


def _token_ids(tokenizer: Tokenizer, source: Path) -> FinetuneTokenIds:
    pad, mask = (special_id(tokenizer, token, source) for token in ("[PAD]", "[MASK]"))
    return FinetuneTokenIds(pad, mask, special_ids(tokenizer, source))


def _config(job: FinetuneJob, tokenizer: Tokenizer, task: Task, markers: tuple[int, ...]) -> EncoderConfig:
    base = job.scratch or read_config(job.source)
    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    if not markers:
        tokenizer_vocabulary(base, vocabulary, job.source)
    if job.max_length is not None and job.max_length > base.max_position_embeddings:
        raise UserError(
            f"--max-length {job.max_length}: the encoder has only {base.max_position_embeddings} positions; give less"
        )
    if job.bigram_buckets is not None and base.bigram_buckets not in (0, job.bigram_buckets):
        raise UserError(
            f"--bigrams {job.bigram_buckets}: the encoder's table of pairs has {base.bigram_buckets} rows, which stay; "
            "leave --bigrams away"
        )
    if job.layers is not None and job.layers > base.num_hidden_layers:
        raise UserError(f"--layers {job.layers}: {job.source} has only {base.num_hidden_layers}; give at most that")
    return replace(
        base,
        num_hidden_layers=job.layers or base.num_hidden_layers,
        bigram_buckets=job.bigram_buckets or base.bigram_buckets,
        vocab_size=max(base.vocab_size, vocabulary),
        max_position_embeddings=job.max_length or base.max_position_embeddings,
        hidden_dropout_prob=job.recipe.dropout,
        attention_probs_dropout_prob=job.recipe.dropout,
        markers=markers,
        labels=task.labels,
    )


def encode_splits(
    task: Task,
    more: list[Task],
    tokenizer: Tokenizer,
    max_length: int,
    validation_share: float | None,
    seed: int,
    teacher: Teacher | None = None,
) -> tuple[EncodedExamples, EncodedExamples | None, EncodedExamples | None]:
    """The rows for training, validation and test as token ids, of what ``load_tasks`` gives.

    ``validation_share`` of the training rows (see ``FinetuneJob``) is held out, drawn with ``seed``, unless there is a
    validation split. With a ``teacher`` the rows for training have its targets, and its unlabelled texts are among
    them.
    """
    parts = [task.splits["train"], *(other.splits["train"] for other in more)]
    texts, labels = [text for part in parts for text in part.texts], np.concatenate([part.labels for part in parts])
    train = encode_examples(
        tokenizer,
        texts,
        labels,
        max_length,
        sources=np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)]),
        targets=None if teacher is None else teacher.targets(texts, labels),
    )
    held = {
        name: encode_examples(tokenizer, task.splits[name].texts, task.splits[name].labels, max_length)
        for name in ("validation", "test")
        if name in task.splits
    }
    validation = held.get("validation")
    if validation_share is None:
        validation_share = _USUAL_SHARE if _USUAL_SHARE * len(train) >= _FEWEST_HELD_OUT else 0.0
    if validation is None and validation_share:
        rows, held_out = split_validation(train.labels, validation_share, seed)
        if len(held_out):
            train, validation = train.select(rows), train.select(held_out)
    if teacher is not None and (more_texts := teacher.unlabelled(tokenizer, max_length, len(parts))) is not None:
        train = train.joined(more_texts)
    return train, validation, held.get("test")
