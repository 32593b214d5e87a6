"""Training the members of a committee, one after another, and building it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from tlm_edge.cluster import Cluster, each
from tlm_edge.data.tasks import load_examples
from tlm_edge.files import refuse_existing, sha256_file
from tlm_edge.modeling.checkpoint import require_weights
from tlm_edge.modeling.committee import build_committee, check_members, single_members, tokenizer_digest
from tlm_edge.modeling.config import read_config
from tlm_edge.modeling.members import load_ours
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.classification import FinetuneJob, prepare
from tlm_edge.training.examples import EncodedExamples
from tlm_edge.training.finetune_job import run_finetune
from tlm_edge.training.metrics import ClassificationMetrics, classification_metrics
from tlm_edge.training.model_card import committee_card
from tlm_edge.training.ngrams import NgramJob, train_ngrams
from tlm_edge.training.pretrain_job import PretrainJob, run_pretrain
from tlm_edge.training.provenance import environment, named_source
from tlm_edge.training.run import check_out, close_run, finished_result, open_run, work_folder
from tlm_edge.training.scoring import example_probabilities
from tlm_edge.training.weighting import ROWS_A_MEMBER, fit_weights


@dataclass(frozen=True)
class CommitteeJob:
    """How many members to train, and how.

    ``finetune`` is the job of every member but for its seed, which counts up from the recipe's; all share one
    validation split. With ``pretrain`` each member first gets an encoder of its own, seeded likewise and kept in
    ``encoders_out``; otherwise ``encoders`` are taken in turn, or all start as the job says. ``with_ngrams`` adds a
    linear classifier of n-grams, which may vote with a single member. The validation split weights the votes if it has
    rows enough, and else the n-grams have half of them; then the n-grams learn it, too.
    """

    members: int
    out: Path
    finetune: FinetuneJob
    encoders: tuple[Path, ...] = ()
    pretrain: PretrainJob | None = None
    encoders_out: Path | None = None
    with_ngrams: bool = False
    #: The Ray cluster that trains the members side by side, with so many threads each; this process if None.
    ray: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class _Scores:
    """Scores of the committee and of each member on the same rows."""

    committee: ClassificationMetrics
    members: tuple[ClassificationMetrics, ...]

    def to_json(self) -> dict[str, Any]:
        return {"committee": self.committee.to_json(), "members": [member.to_json() for member in self.members]}


def run_committee(job: CommitteeJob, *, resume: bool = False, force: bool = False) -> dict[str, Any]:
    """Train the members, build the committee ``job.out``, and return the content of its ``training.json``.

    Members that are finished are not trained again on a resume. Raises ``UserError`` for input that doesn't fit,
    ``RunInterruptedError`` when stopped by a signal.
    """
    check_out(job.out, resume=resume, force=force)
    if job.members + job.with_ngrams < 2:
        raise UserError(f"--members {job.members}: a committee needs at least two, or one and --with-ngrams")
    _check_encoders(job.encoders)
    settings = _settings(job)
    if resume and (done := finished_result(job.out, settings)) is not None:
        return done
    with open_run(job.out, settings, resume=resume, force=force) as run:
        names = [f"{job.out.name}-{number:02d}" for number in range(job.members)]
        members = _train_members(job, [run.work / name for name in names])
        ready = prepare(replace(job.finetune, checkpoint=members[0], scratch=None, tokenizer=None, distillation=None))
        judged = members
        if job.with_ngrams:
            ngrams, before = run.work / f"{job.out.name}-ngrams", run.work / "before-refit"
            _train_ngrams(job, members[0], ngrams, before)
            judged = [*members, ngrams if ready.validation is None else before]
            members = [*members, ngrams]
        asked = {"validation": (judged, ready.validation), "test": (members, ready.test)}
        answers = {
            split: (_probabilities(voters, examples, ready.ids.pad), examples.labels)
            for split, (voters, examples) in asked.items()
            if examples is not None
        }
        weights = _weights(job, answers.get("validation"))
        scores = {split: _vote(*answer, ready.config.labels, weights) for split, answer in answers.items()}
        content = {
            "schema_version": 1,
            "kind": "committee",
            "settings": settings,
            "result": {split: scored.to_json() for split, scored in scores.items()},
            "environment": environment(),
        }
        if PartialState().is_main_process:
            measured = {split: (scored.committee, scored.members) for split, scored in scores.items()}
            text = committee_card(job.out.name, members, measured, weights)
            build_committee(members, job.out, card=text, recipe=content, weights=weights, force=run.force)
        close_run(run)
    return content


def build_measured(
    members: Sequence[Path],
    out: Path,
    data: str | None,
    *,
    weigh_on: str | None = None,
    threads: int | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Build a committee whose card has its scores, and each member's, on the labelled texts of ``data``.

    The votes are weighted by the texts of ``weigh_on``, which no member was trained on, equal if ``None``. Returns the
    scores as JSON values, under ``test``. Raises ``UserError`` as ``build_committee`` and ``fit_weights`` do, and if
    texts don't fit.
    """
    refuse_existing(out, force=force)
    members = single_members(members)
    check_members(members)
    classifiers = [TorchClassifier(member, threads) for member in members]
    labels = classifiers[0].labels

    def asked(source: str) -> tuple[np.ndarray, np.ndarray]:
        examples = load_examples(source, labels)
        return np.stack([classifier.probabilities(examples.texts) for classifier in classifiers]), examples.labels

    weights = () if weigh_on is None else fit_weights(*asked(weigh_on))
    scores = None if data is None else _vote(*asked(data), labels, weights)
    card = committee_card(
        out.name, members, {} if scores is None else {"test": (scores.committee, scores.members)}, weights
    )
    build_committee(members, out, card=card, weights=weights, force=force)
    return {} if scores is None else {"test": scores.to_json()}


def _train_members(job: CommitteeJob, outs: list[Path]) -> list[Path]:
    if job.ray is None:
        return [_train_member(job, number, out) for number, out in enumerate(outs)]
    cluster = Cluster(job.ray, threads=job.threads)
    each(cluster, _train_on_cluster, {out.name: (job, number, out) for number, out in enumerate(outs)})
    return outs


def _train_on_cluster(job: CommitteeJob, number: int, out: Path) -> None:
    torch.set_num_threads(job.threads)
    _train_member(job, number, out)


def _train_member(job: CommitteeJob, number: int, out: Path) -> Path:
    seed = job.finetune.recipe.seed
    checkpoint = job.encoders[number % len(job.encoders)] if job.encoders else job.finetune.checkpoint
    if job.pretrain is not None and job.encoders_out is not None:
        recipe = replace(job.pretrain.recipe, seed=seed + number)
        checkpoint = job.encoders_out / f"{number:02d}"
        run_pretrain(replace(job.pretrain, out=checkpoint, recipe=recipe), resume=_started(checkpoint))
    member = replace(
        job.finetune,
        out=out,
        recipe=replace(job.finetune.recipe, seed=seed + number),
        checkpoint=checkpoint,
        tokenizer=None if checkpoint else job.finetune.tokenizer,
        scratch=None if checkpoint else job.finetune.scratch,
        split_seed=seed,
    )
    run_finetune(member, resume=_started(out))
    return out


def _train_ngrams(job: CommitteeJob, member: Path, out: Path, before: Path) -> None:
    """N-grams that learn the rows that ``member`` did, as ``before``, and then those held out, as ``out``."""
    finetune = job.finetune
    if not out.exists() and PartialState().is_main_process:
        train_ngrams(
            NgramJob(
                data=finetune.data,
                out=out,
                tokenizer=member,
                max_length=read_config(member).max_position_embeddings,
                text_columns=finetune.text_columns,
                label_column=finetune.label_column,
                columns=finetune.columns,
                rows_per_label=finetune.rows_per_label,
                validation_share=finetune.validation_share,
                half=finetune.half,
                seed=finetune.recipe.seed,
                before_refit=before,
            )
        )
    PartialState().wait_for_everyone()


def _weights(job: CommitteeJob, held_out: tuple[np.ndarray, np.ndarray] | None) -> tuple[float, ...]:
    """The votes' weights by probabilities and labels of held-out rows; none without n-grams.

    With too few rows n-grams have half of the vote, since encoders err alike and n-grams otherwise.
    """
    if not job.with_ngrams:
        return ()
    if held_out is None or len(held_out[1]) < ROWS_A_MEMBER * len(held_out[0]):
        return (*(0.5 / job.members for _ in range(job.members)), 0.5)
    return fit_weights(*held_out)


def _started(out: Path) -> bool:
    """Whether a run that writes ``out`` was begun or finished; several processes see the same."""
    started = out.exists() or work_folder(out).exists()
    PartialState().wait_for_everyone()
    return started


def _check_encoders(encoders: Sequence[Path]) -> None:
    """Raise ``UserError`` for encoders that can't share a committee, before hours are spent on them."""
    for encoder in encoders:
        require_weights(encoder)
        if tokenizer_digest(encoder) != tokenizer_digest(encoders[0]):
            raise UserError(
                f"{encoder} and {encoders[0]} have different tokenizers: members of a committee must share it"
            )


def _settings(job: CommitteeJob) -> dict[str, Any]:
    """What determines the members; their own runs check data and configurations."""
    pretrain, taught = job.pretrain, job.finetune.distillation
    return {
        "members": job.members,
        "recipe": asdict(job.finetune.recipe),
        "encoders": [sha256_file(require_weights(encoder)) for encoder in job.encoders],
        "with_ngrams": job.with_ngrams,
        "rows_per_label": job.finetune.rows_per_label,
        "low_rank": job.finetune.low_rank,
        "bigram_buckets": job.finetune.bigram_buckets,
        "teacher": None if taught is None else {"model": named_source(str(taught.teacher)), "weight": taught.weight},
        "pretrain": None if pretrain is None else asdict(pretrain.recipe) | asdict(pretrain.limits),
    }


def _probabilities(members: Sequence[Path], examples: EncodedExamples, pad_token_id: int) -> np.ndarray:
    """Probabilities (members, rows, labels)."""
    models = [load_ours(member) for member in members]
    return np.stack([example_probabilities(model, examples, pad_token_id) for model in models])


def _vote(
    probabilities: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], weights: Sequence[float] = ()
) -> _Scores:
    """Scores of probabilities (members, texts, labels) and of their mean, weighted if there are ``weights``."""
    together = np.average(probabilities, axis=0, weights=weights or None)
    vote = classification_metrics(together, truth, labels)
    return _Scores(vote, tuple(classification_metrics(one, truth, labels) for one in probabilities))
