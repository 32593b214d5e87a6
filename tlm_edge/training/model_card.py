"""Model cards: what a checkpoint is, how it came about and how good it is, in Hugging Face's card format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tlm_edge.cards import card, cell, table
from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.modeling.members import read_member_config
from tlm_edge.modeling.ngrams import NgramConfig
from tlm_edge.training.metrics import ClassificationMetrics

#: Labels up to which the whole confusion matrix is shown.
_LARGEST_MATRIX = 20


def classifier_card(
    name: str,
    config: EncoderConfig,
    recipe: Mapping[str, Any],
    validation: ClassificationMetrics | None,
    test: ClassificationMetrics | None,
) -> str:
    """The card of a fine-tuned checkpoint; ``recipe`` is the content of its ``training.json``."""
    result, data = recipe["result"], ", ".join(source["name"] for source in recipe["data"])
    metadata: dict[str, Any] = {
        "library_name": "tlm-edge",
        "pipeline_tag": "text-classification",
        "tags": ["text-classification", "bert", "tiny", "edge"],
        "metrics": ["accuracy", "f1"],
    }
    best, split = (test, "test") if test else (validation, "validation")
    if best:
        dataset = recipe["test_data"][0]["name"] if test and recipe["test_data"] else recipe["data"][0]["name"]
        metadata["model-index"] = evaluation_metadata(name, dataset, split, best)
    start = f"Fine-tuned from `{recipe['encoder']}`" if recipe["encoder"] else "Trained from random weights"
    rows = recipe["rows"]
    training = {
        "data": data,
        "rows": f"{rows['train']:,} for training, {rows['validation']:,} for validation",
        "tokens read": f"{result['tokens']:,}",
        "epochs": f"{result['epochs']}, epoch {result['best_epoch']} kept",
        "time": f"{result['seconds']:,.0f} s on {recipe['environment']['processor']}, "
        f"{recipe['environment']['threads']} threads",
        "longest input": f"{recipe['max_length']} tokens",
        **_settings(recipe),
    }
    if rank := recipe["settings"].get("low_rank"):
        training["stored as"] = f"differences of rank {rank} from `{recipe['encoder']}`; all scores are of these"
    if teacher := recipe.get("teacher"):
        training["teacher"] = f"{teacher['model']}, its probabilities {teacher['weight']:.0%} of what was learned"
    sections = [
        ("", f"{start} on {data}: {len(config.labels)} labels ({_shortened(config.labels)}). {shape(config)}"),
        ("Use", usage(name, config, whole=not recipe["settings"].get("low_rank"))),
    ]
    if test:
        sections.append(("Test", "Never trained nor chosen on.\n\n" + scores(test)))
    if validation:
        held = "Held out of training; the epoch was chosen on these rows, so expect a little less on others."
        sections.append(("Validation", f"{held}\n\n{scores(validation)}"))
    sections += [
        ("Training", table(training)),
        ("", "![Loss and accuracy over the steps](training.png)\n\nThe full recipe is in `training.json`."),
    ]
    return card(metadata, name, sections)


def ngrams_card(
    name: str,
    config: NgramConfig,
    recipe: Mapping[str, Any],
    validation: ClassificationMetrics | None,
    test: ClassificationMetrics | None,
) -> str:
    """The card of a linear classifier of token n-grams; ``recipe`` is the content of its ``training.json``."""
    data, rows, settings = ", ".join(source["name"] for source in recipe["data"]), recipe["rows"], recipe["settings"]
    metadata: dict[str, Any] = {
        "library_name": "tlm-edge",
        "pipeline_tag": "text-classification",
        "tags": ["text-classification", "ngrams", "linear", "edge"],
        "metrics": ["accuracy", "f1"],
    }
    about = f"Trained on {data}: {len(config.labels)} labels ({_shortened(config.labels)}). {shape(config)}"
    sections = [("", about), ("Use", usage(name, config))]
    if test:
        dataset = recipe["test_data"][0]["name"] if recipe["test_data"] else recipe["data"][0]["name"]
        metadata["model-index"] = evaluation_metadata(name, dataset, "test", test)
        sections.append(("Test", "Never trained nor chosen on.\n\n" + scores(test)))
    if validation:
        held = "Of the same model before the held-out rows were learned too; they may have chosen the regularisation."
        sections.append(("Validation", f"{held}\n\n{scores(validation)}"))
    training = {
        "data": data,
        "rows": f"{rows['train'] + rows['validation']:,}",
        "regularisation (C)": settings["strength"],
        "longest input": f"{recipe['max_length']} tokens",
        "time": f"{recipe['result']['seconds']:,.0f} s on {recipe['environment']['processor']}",
    }
    return card(metadata, name, [*sections, ("Training", f"{table(training)}\n\nMore in `training.json`.")])


def encoder_card(name: str, config: EncoderConfig, recipe: Mapping[str, Any]) -> str:
    """The card of a pre-trained encoder; ``recipe`` is the content of its ``training.json``."""
    result, corpus = recipe["result"], ", ".join(source["name"] for source in recipe["corpus"])
    metadata: dict[str, Any] = {
        "library_name": "tlm-edge",
        "pipeline_tag": "fill-mask",
        "tags": ["fill-mask", "bert", "tiny", "edge"],
    }
    loss = "not measured: the corpus is too small" if result["validation_loss"] is None else result["validation_loss"]
    seconds = max(result["seconds"], 1e-9)
    start = "random weights"
    for kind, words in (("continued_from", "the weights of"), ("grown_from", "the shallower")):
        start = f"{words} `{recipe[kind]}`" if recipe[kind] else start
    subset = {key.replace("_", " "): recipe[key] for key in ("articles", "first_tokens") if recipe[key]}
    training = {
        "corpus": corpus,
        **subset,
        "size of the corpus": f"{recipe['corpus_tokens']:,} tokens in {recipe['corpus_documents']:,} documents",
        "tokens read": f"{result['tokens']:,}",
        "held-out loss (nats a guessed token)": f"{loss:.4f}" if isinstance(loss, float) else loss,
        "time": f"{result['seconds']:,.0f} s on {recipe['environment']['processor']}, "
        f"{recipe['environment']['threads']} threads ({result['tokens'] / seconds:,.0f} tokens/s)",
        "steps": f"{result['steps']:,}",
        **_settings(recipe),
    }
    use = f"To fine-tune: `tlm-edge finetune {name} --data DATA --out DIR`."
    if config.is_plain:
        use += " It also loads in `transformers` with `AutoModelForMaskedLM`."
    sections = [
        ("", f"{shape(config)} Pre-trained as a masked language model on {corpus}, from {start}."),
        ("Use", use),
        ("Training", table(training)),
        ("", "![Loss over the steps](training.png)\n\nThe full recipe is in `training.json`."),
    ]
    return card(metadata, name, sections)


def committee_card(
    name: str,
    members: Sequence[Path],
    measured: Mapping[str, tuple[ClassificationMetrics, Sequence[ClassificationMetrics]]],
    weights: Sequence[float] = (),
) -> str:
    """The card of a committee of member checkpoints.

    ``measured`` has by split the scores of the committee and of each member on the same rows; ``weights`` are those of
    the members' votes.
    """
    configs = [read_member_config(member) for member in members]
    metadata: dict[str, Any] = {
        "library_name": "tlm-edge",
        "pipeline_tag": "text-classification",
        "tags": ["text-classification", "bert", "tiny", "edge", "committee"],
        "metrics": ["accuracy", "f1"],
    }
    mean = "weighted mean" if weights else "mean"
    about = (
        f"A soft committee of {len(members)}: its probabilities are the {mean} of the members' softmax outputs "
        "(Gross et al., *Tiny language models*, arXiv 2507.14871). "
        f"{len(configs[0].labels)} labels ({_shortened(configs[0].labels)})."
    )
    lines = [f"- `members/{number:02d}`: {shape(config)}" for number, config in enumerate(configs)]
    if weights:
        lines = [f"{line} Its vote weighs {weight:.3f}." for line, weight in zip(lines, weights, strict=True)]
    use = f'```python\nimport tlm_edge\n\nprint(tlm_edge.load("{name}").predict(["…"]))\n```'
    sections = [("", about), ("Use", use), ("Members", "\n".join(lines) + "\n\nEach has a model card of its own.")]
    notes = {
        "test": "Never trained nor chosen on.",
        "validation": "Held out of the training of every member, but their epochs were chosen on these rows.",
    }
    for split in sorted(measured):
        together, single = measured[split]
        rows = ["| | accuracy | macro-F1 |", "|---|---|---|", _score_row("committee", together)]
        rows += [_score_row(f"member {number:02d}", one) for number, one in enumerate(single)]
        text = f"{notes.get(split, '')}\n\n" + "\n".join(rows) + f"\n\n{scores(together)}"
        sections.append((split.capitalize(), text))
    return card(metadata, name, sections)


def _settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's settings but for limits that were not set; the steps done stand elsewhere."""
    settings = recipe["settings"]["recipe"]
    return {key.replace("_", " "): value for key, value in settings.items() if value is not None and key != "max_steps"}


def _score_row(name: str, metrics: ClassificationMetrics) -> str:
    return f"| {name} | {metrics.accuracy:.4f} | {metrics.macro_f1:.4f} |"


def shape(config: EncoderConfig | NgramConfig) -> str:
    """One sentence on a model's size."""
    if isinstance(config, NgramConfig):
        return (
            f"A linear classifier of {config.vocab_size:,} tokens and of pairs of them in {config.buckets:,} buckets."
        )
    layers = f"{config.num_hidden_layers} layer{'s' if config.num_hidden_layers > 1 else ''}"
    convolution = ""
    if config.convolution:
        rows, columns = config.convolution.kernel
        convolution = f", behind a block of {config.convolution.layers} convolutions ({rows} × {columns})"
    return (
        f"A BERT encoder of {layers}, hidden size {config.hidden_size}, {config.num_attention_heads} heads, "
        f"{config.vocab_size:,} tokens{convolution}."
    )


def usage(name: str, config: EncoderConfig | NgramConfig, *, whole: bool = True) -> str:
    """How to load a classifier, stored as a ``whole`` or as differences from an encoder."""
    text = (
        f'```python\nimport tlm_edge\n\nclassifier = tlm_edge.load("{name}")\nprint(classifier.predict(["…"]))\n```\n\n'
    )
    if isinstance(config, EncoderConfig) and config.is_plain and not whole:
        return text + f"For `transformers` make it whole: `tlm-edge models pull {name} --out DIR`."
    if isinstance(config, EncoderConfig) and config.is_plain:
        return text + "It also loads in `transformers` with `AutoModelForSequenceClassification`."
    return text + "Its architecture is not one of `transformers`; it loads in `tlm_edge` only, without remote code."


def _shortened(labels: Sequence[str]) -> str:
    return ", ".join(labels[:8]) + (", …" if len(labels) > 8 else "")


def scores(metrics: ClassificationMetrics) -> str:
    """Markdown of the overall scores, the table by label, and the confusion matrix if it is small."""
    overall = table(
        {
            "rows": f"{metrics.n:,}",
            "accuracy": f"{metrics.accuracy:.4f}",
            "macro-F1": f"{metrics.macro_f1:.4f}",
            "cross-entropy (nats)": f"{metrics.loss:.4f}",
            "expected calibration error (15 bins)": f"{metrics.calibration_error:.4f}",
        }
    )
    by_label = ["| label | precision | recall | F1 | rows |", "|---|---|---|---|---|"] + [
        f"| {cell(row.label)} | {row.precision:.3f} | {row.recall:.3f} | {row.f1:.3f} | {row.support:,} |"
        for row in metrics.by_label
    ]
    parts = [overall, "\n".join(by_label)]
    if len(metrics.by_label) <= _LARGEST_MATRIX:
        names = [cell(row.label) for row in metrics.by_label]
        matrix = [f"| true ↓ predicted → | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for name, counts in zip(names, metrics.confusion, strict=True):
            matrix.append(f"| {name} | {' | '.join(f'{count:,}' for count in counts)} |")
        parts.append("\n".join(matrix))
    return "\n\n".join(parts)


def evaluation_metadata(name: str, dataset: str, split: str, metrics: ClassificationMetrics) -> list[dict[str, Any]]:
    """The ``model-index`` entry of Hugging Face's card format for one evaluation."""
    figures = [
        {"type": "accuracy", "value": round(metrics.accuracy, 4)},
        {"type": "f1", "name": "macro-F1", "value": round(metrics.macro_f1, 4)},
    ]
    data = {"name": dataset, "type": dataset, "split": split}
    task = {"type": "text-classification"}
    return [{"name": name, "results": [{"task": task, "dataset": data, "metrics": figures}]}]
