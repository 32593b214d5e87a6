"""Fine-tuning: it learns, repeats itself, keeps the best epoch, stops early, and writes a whole checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tlm_edge
from tests.tiny_models import LABELS, labelled_texts
from tests.training.recipes import DATA, finetune_job, logged, scratch
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.checkpoint import load_classifier
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.training import finetune as loop
from tlm_edge.training.classification import FinetuneJob, load_pretrained, prepare
from tlm_edge.training.finetune import EpochResult, FinetuneRecipe, finetune
from tlm_edge.training.finetune_job import run_finetune
from tlm_edge.training.metrics import ClassificationMetrics


@pytest.fixture(scope="module")
def trained(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finetune") / "news"
    job = finetune_job(tiny_tokenizer, out, test_data=DATA, recipe={"epochs": 12, "patience": 12})
    run_finetune(job)
    return out


def test_it_learns(trained: Path) -> None:
    result = json.loads((trained / "training.json").read_text())["result"]
    # The best of twelve epochs by forty rows may be an early one: chance is 0.25.
    assert result["test"]["accuracy"] > 0.4 and result["test"]["n"] == 200
    assert result["validation"]["accuracy"] > 0.3 and result["validation"]["n"] == 40
    losses = [record["loss"] for record in logged(trained / "log.jsonl") if record["event"] == "steps"]
    assert losses[-1] < 0.7 * losses[0]


def test_the_checkpoint_is_whole_and_loads(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "README.md", "config.json", "log.jsonl", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json", "training.json", "training.png", "vocab.txt",
    }  # fmt: skip
    assert [path.name for path in trained.parent.iterdir()] == ["news"]
    classifier = tlm_edge.load(trained, threads=1)
    assert set(classifier.labels) == set(LABELS)
    texts, labels = labelled_texts()
    predicted = classifier.probabilities(texts).argmax(axis=1)
    hits = np.mean([classifier.labels[p] == LABELS[e] for p, e in zip(predicted, labels, strict=True)])
    assert hits == pytest.approx(json.loads((trained / "training.json").read_text())["result"]["test"]["accuracy"])
    assert (trained / "training.png").read_bytes().startswith(b"\x89PNG")


def test_the_record_names_data_without_this_machine_s_paths(trained: Path) -> None:
    text = (trained / "training.json").read_text() + (trained / "README.md").read_text()
    assert str(Path(DATA).parent.parent) not in text and str(trained.parent) not in text
    (source,) = json.loads((trained / "training.json").read_text())["data"]
    assert source["name"] == "evaluation/agnews.jsonl" and len(source["sha256"]) == 64


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_seed_repeats_the_run_to_the_bit_and_another_does_not(tiny_tokenizer: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        run_finetune(finetune_job(tiny_tokenizer, tmp_path / name, recipe={"epochs": 1, "seed": seed}))
    one, two, other = (weights(tmp_path / name) for name in ("one", "two", "other"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])
    assert logged(tmp_path / "one/log.jsonl") == logged(tmp_path / "two/log.jsonl")


def fake_scores(accuracies: list[float]):
    """Validation accuracies that come one after another, whatever the model does."""
    remaining = iter(accuracies)

    def evaluate(model, examples, pad, accelerator=None) -> ClassificationMetrics:
        return ClassificationMetrics(len(examples), next(remaining), 0.5, 1.0, 0.1, (), ())

    return evaluate


def test_the_best_epoch_is_kept_and_patience_ends_the_run(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finetune_job(tiny_tokenizer, tmp_path, recipe={"epochs": 9, "patience": 2, "averaged": 0})
    ready = prepare(job)
    model = SequenceClassifier(ready.config)
    monkeypatch.setattr(loop, "evaluate_examples", fake_scores([0.5, 0.8, 0.7, 0.8, 0.99, 0.99]))
    after_epoch: list[dict[str, torch.Tensor]] = []

    def report(told) -> None:
        if isinstance(told, EpochResult):
            after_epoch.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    result = finetune(model, ready.train, ready.validation, ready.ids, job.recipe, tmp_path, report=report)
    assert (result.best_epoch, result.epochs, result.finished) == (2, 4, True)
    assert all(torch.equal(tensor, after_epoch[1][name]) for name, tensor in model.state_dict().items())
    assert any(not torch.equal(tensor, after_epoch[3][name]) for name, tensor in model.state_dict().items())


def test_what_is_kept_is_the_mean_of_the_last_weights(tiny_tokenizer: Path, tmp_path: Path) -> None:
    """The library's mean, held against the recurrence that defines it, over the weights of every step."""
    job = finetune_job(tiny_tokenizer, tmp_path, validation_share=0.0, recipe={"epochs": 2, "averaged": 0.5})
    ready = prepare(job)
    model = SequenceClassifier(ready.config)
    seen: list[torch.Tensor] = []

    def report(told) -> None:
        seen.append(model.classifier.weight.detach().clone())

    finetune(model, ready.train, None, ready.ids, job.recipe, tmp_path, report=report, report_every=1)
    expected, steps = seen[0], len(seen)
    for weight in seen[1:]:
        expected = expected + (weight - expected) / (0.5 * steps)
    assert steps == 26 and not torch.equal(seen[-1], expected)
    torch.testing.assert_close(model.classifier.weight.detach(), expected)


def test_without_validation_the_last_epoch_is_kept(tiny_tokenizer: Path, tmp_path: Path) -> None:
    done = run_finetune(finetune_job(tiny_tokenizer, tmp_path / "out", validation_share=0.0, recipe={"epochs": 2}))
    assert done["result"]["validation"] is None and done["result"]["best_epoch"] == 2
    assert done["rows"] == {"train": 200, "validation": 0}


def test_starting_from_a_checkpoint_takes_its_encoder(trained: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    from_it = {"checkpoint": trained, "scratch": None, "tokenizer": None}
    losses = []
    for name, start in (("further", from_it), ("fresh", {})):
        run_finetune(finetune_job(tiny_tokenizer, tmp_path / name, recipe={"epochs": 1}, **start))
        losses.append(next(r["loss"] for r in logged(tmp_path / name / "log.jsonl") if r["event"] == "steps"))
    assert losses[0] < losses[1]


def test_other_labels_get_a_new_classifier(trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "yesno.csv"
    rows = [
        f'"{text.replace(chr(34), "")}",{"yes" if label == 1 else "no"}'
        for text, label in zip(*labelled_texts(), strict=True)
    ]
    data.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    job = finetune_job(
        trained,
        tmp_path / "out",
        data=(str(data),),
        checkpoint=trained,
        scratch=None,
        tokenizer=None,
        recipe={"epochs": 1},
    )
    run_finetune(job)
    assert load_classifier(tmp_path / "out").config.labels == ("no", "yes")


def test_half_precision_and_shorter_inputs_are_stored(tiny_tokenizer: Path, tmp_path: Path) -> None:
    run_finetune(finetune_job(tiny_tokenizer, tmp_path / "out", half=True, max_length=16, recipe={"epochs": 1}))
    assert weights(tmp_path / "out")["classifier.weight"].dtype == torch.float16
    classifier = tlm_edge.load(tmp_path / "out")
    assert classifier.max_length == 16
    assert classifier.predict([" ".join(["word"] * 100)])[0].score > 0


def test_several_sources_share_the_first_one_s_labels(tiny_tokenizer: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"text": "a late goal", "label": "Sports"}) + "\n", encoding="utf-8")
    ready = prepare(finetune_job(tiny_tokenizer, tmp_path / "out", data=(DATA, str(more)), validation_share=0.0))
    assert len(ready.train) == 201 and np.bincount(ready.train.sources).tolist() == [200, 1]
    assert ready.config.labels[ready.train.labels[-1]] == "Sports"
    more.write_text(json.dumps({"text": "rain", "label": "Weather"}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="Weather"):
        prepare(finetune_job(tiny_tokenizer, tmp_path / "out", data=(DATA, str(more))))


def fewrel(path: Path, instances: int = 12) -> Path:
    """Two relations in FewRel's layout, told apart by the order of the entities alone."""
    names = ["rome", "paris", "london", "berlin", "vienna", "madrid"]
    content: dict[str, list] = {"P1": [], "P2": []}
    for number in range(instances):
        first, second = names[number % 6], names[(number + 1 + number // 6) % 6]
        tokens = ["the", "road", "from", first, "leads", "to", second, "."]
        for relation, (head, tail) in (("P1", (3, 6)), ("P2", (6, 3))):
            content[relation].append(
                {"tokens": tokens, "h": [tokens[head], "Q1", [[head]]], "t": [tokens[tail], "Q2", [[tail]]]}
            )
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_entity_markers_become_tokens_whose_rows_are_read(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = str(fewrel(tmp_path / "fewrel.json"))
    job = finetune_job(
        tiny_tokenizer,
        tmp_path / "out",
        data=(data,),
        test_data=data,
        recipe={"epochs": 25, "patience": 25, "batch_size": 8, "mask_probability": 0.0, "dropout": 0.0},
    )
    done = run_finetune(job)
    # Without reading the markers' rows the two relations could not be told apart: they share every word.
    assert done["result"]["test"]["accuracy"] > 0.9
    model = load_classifier(tmp_path / "out")
    tokenizer = load_tokenizer(tmp_path / "out")
    before = load_tokenizer(tiny_tokenizer).get_vocab_size()
    assert tokenizer.get_vocab_size() == model.config.vocab_size == before + 4
    assert model.config.markers == (tokenizer.token_to_id("[E1]"), tokenizer.token_to_id("[E2]"))
    tokens = tokenizer.encode("[E1] rome [/E1]").tokens
    assert (tokens[1], tokens[-2]) == ("[E1]", "[/E1]")
    classifier = tlm_edge.load(tmp_path / "out")
    forth = "the road from [E1] rome [/E1] leads to [E2] paris [/E2] ."
    back = "the road from [E2] rome [/E2] leads to [E1] paris [/E1] ."
    assert [prediction.label for prediction in classifier.predict([forth, back])] == ["P1", "P2"]


def test_a_tokenizer_without_mask_or_with_too_many_tokens_is_refused(
    trained: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    small = replace(scratch(tiny_tokenizer), vocab_size=100)
    with pytest.raises(UserError, match="only 100 embeddings"):
        prepare(finetune_job(tiny_tokenizer, tmp_path / "out", scratch=small))
    with pytest.raises(UserError, match="only 128 positions"):
        prepare(finetune_job(tiny_tokenizer, tmp_path / "out", max_length=200))


def test_the_default_recipe_is_the_documented_one() -> None:
    recipe = FinetuneRecipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.averaged) == (8, 32, 5e-4, 0.125)
    assert (recipe.dropout, recipe.mask_probability, recipe.weight_decay) == (0.1, 0.3, 0.01)


def test_rows_per_label_limits_training_but_not_testing(tiny_tokenizer: Path, tmp_path: Path) -> None:
    job = finetune_job(tiny_tokenizer, tmp_path / "few", test_data=DATA, rows_per_label=5, validation_share=0.0)
    ready = prepare(job)
    assert np.bincount(ready.train.labels).tolist() == [5, 5, 5, 5] and ready.validation is None
    assert ready.test is not None and len(ready.test) == 200
    again = prepare(replace(job, recipe=replace(job.recipe, seed=1)))
    assert again.train.digest() == ready.train.digest()


def test_the_first_layers_of_a_deep_model_are_taken(tiny_deep_checkpoint: Path, tmp_path: Path) -> None:
    job = FinetuneJob((DATA,), tmp_path / "out", FinetuneRecipe(dropout=0.0), checkpoint=tiny_deep_checkpoint, layers=2)
    shallow = SequenceClassifier(prepare(job).config).eval()
    load_pretrained(shallow, tiny_deep_checkpoint)
    deep = load_classifier(tiny_deep_checkpoint)
    del deep.encoder.layers[2:]
    ids = torch.randint(5, 300, (3, 12))
    assert len(shallow.encoder.layers) == 2
    assert torch.equal(shallow.encoder(ids), deep.encoder(ids))
    with pytest.raises(UserError, match="--layers 4: .* has only 3"):
        prepare(replace(job, layers=4))


def test_the_smallest_numbers_count_again_afterwards(trained: Path) -> None:
    assert trained.is_dir()
    assert float(torch.tensor(1e-40) * 1) != 0.0 and float(np.float32(1e-40) * np.float32(1)) != 0.0
