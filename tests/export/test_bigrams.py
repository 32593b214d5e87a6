"""An encoder that sees pairs of tokens: given to a trained one, stored, loaded, and the same in every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import labelled_texts, train_checkpoint
from tlm_edge.export.export import export_model
from tlm_edge.export.registry import target_names
from tlm_edge.extras import missing_modules
from tlm_edge.modeling.checkpoint import load_classifier
from tlm_edge.modeling.config import read_config
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.classification import FinetuneJob, load_pretrained, prepare
from tlm_edge.training.finetune import FinetuneRecipe

BUCKETS = 97


@pytest.fixture(scope="module")
def checkpoint(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_checkpoint(tmp_path_factory.mktemp("bigrams") / "pairs", tiny_tokenizer, bigram_buckets=BUCKETS)


def test_order_is_seen(checkpoint: Path) -> None:
    model = load_classifier(checkpoint)
    assert read_config(checkpoint).bigram_buckets == BUCKETS
    assert model.encoder.embeddings.bigram is not None
    embeddings = model.encoder.embeddings.eval()
    ids = torch.tensor([[2, 11, 12, 13, 3], [2, 12, 11, 13, 3]])
    with torch.no_grad():
        rows = embeddings(ids) - embeddings.norm(
            embeddings.word(ids) + embeddings.position.weight[:5] + embeddings.token_type.weight[0]
        )
    # [CLS] is paired with padding in both; 11 and 12 have other neighbours, 13 too.
    assert torch.equal(rows[0, 0], rows[1, 0])
    assert (rows[0, 3] - rows[1, 3]).abs().max() > 1e-4


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("target", target_names())
def test_the_same_in_every_runtime(target: str, precision: str, checkpoint: Path, tmp_path: Path) -> None:
    if missing_modules(target):
        pytest.skip(f"the extra {target} is not installed")
    exported = export_model(checkpoint, target, precision, tmp_path / "bundle")
    texts = labelled_texts()[0][:60]
    expected = TorchClassifier(checkpoint, 1).probabilities(texts)
    bundle = open_bundle(exported.folder)
    found = BundleClassifier(bundle, 1).probabilities(texts)
    assert bundle.manifest.rewrite == "fixed-query"
    assert np.abs(found - expected).max() < (1e-5 if precision == "fp32" else 0.1)


def test_a_trained_encoder_is_given_pairs(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """It says the same as before until it learns what pairs mean."""
    texts, labels = labelled_texts()
    data = tmp_path / "rows.tsv"
    names = read_config(tiny_checkpoint).labels
    rows = [f"{text}\t{names[label]}" for text, label in zip(texts, labels, strict=True)]
    data.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    recipe = FinetuneRecipe(dropout=0.0)
    models = []
    for buckets in (None, BUCKETS):
        job = FinetuneJob((str(data),), tmp_path / "out", recipe, checkpoint=tiny_checkpoint, bigram_buckets=buckets)
        models.append(SequenceClassifier(prepare(job).config).eval())
        load_pretrained(models[-1], tiny_checkpoint)
    ids = torch.randint(5, 300, (4, 12))
    assert torch.equal(models[0].encoder(ids), models[1].encoder(ids))


def test_a_table_of_another_size_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.tsv"
    names = read_config(checkpoint).labels
    data.write_text("text\tlabel\n" + "\n".join(f"some text\t{name}" for name in names) + "\n", encoding="utf-8")
    job = FinetuneJob((str(data),), tmp_path / "out", FinetuneRecipe(), checkpoint=checkpoint, bigram_buckets=5)
    with pytest.raises(UserError, match="table of pairs has 97 rows, which stay"):
        prepare(job)
