"""Small classifiers of BERT's relatives, made by transformers itself and trained in seconds, with real tokenizers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from tests.tiny_models import LABELS, labelled_texts, make_tokenizer

POSITIONS = 48
TOKENS = 500

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_ROBERTA = _SIZES | {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
#: kind → transformers' classes, and what makes them small.
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (transformers.BertConfig, transformers.BertForSequenceClassification, _SIZES),
    "distilbert": (
        transformers.DistilBertConfig,
        transformers.DistilBertForSequenceClassification,
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    ),
    "roberta": (
        transformers.RobertaConfig,
        transformers.RobertaForSequenceClassification,
        _ROBERTA,
    ),
    "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaForSequenceClassification, _ROBERTA),
    "camembert": (transformers.CamembertConfig, transformers.CamembertForSequenceClassification, _ROBERTA),
    "electra": (
        transformers.ElectraConfig,
        transformers.ElectraForSequenceClassification,
        _SIZES | {"embedding_size": 24, "initializer_range": 0.3},
    ),
    "mobilebert": (
        transformers.MobileBertConfig,
        transformers.MobileBertForSequenceClassification,
        _SIZES | {"intermediate_size": 32, "embedding_size": 16, "intra_bottleneck_size": 16},
    ),
    "albert": (
        transformers.AlbertConfig,
        transformers.AlbertForSequenceClassification,
        _SIZES | {"embedding_size": 24},
    ),
}  # fmt: skip


def make_checkpoint(
    kind: str,
    folder: Path,
    *,
    labels: tuple[str, ...] | None = LABELS,
    trained: bool = True,
    slow: bool = False,
    **more: Any,
) -> Path:
    """A classifier of ``kind``, saved by transformers in ``folder``; random weights unless ``trained``.

    Its tokenizer is stored in the old form only if ``slow``. ``more`` goes into the configuration.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    tokenizer = save_tokenizer(kind, folder, slow=slow)
    make_config, make_model, sizes = KINDS[kind]
    options = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": POSITIONS,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.15,
    }
    if labels is not None:
        options |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    model = make_model(make_config(**(options | sizes | more)))
    if trained:
        _fit(model, tokenizer)
    else:
        _shake(model)
    model.eval().save_pretrained(folder)
    return folder


def save_tokenizer(kind: str, folder: Path, *, slow: bool = False) -> Any:
    """Train the tokenizer that goes with ``kind`` on the evaluation texts, save it, and return transformers' own."""
    if kind == "roberta":
        trainer = ByteLevelBPETokenizer()
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trainer.train_from_iterator(labelled_texts()[0], TOKENS, special_tokens=specials, show_progress=False)
        trainer.save_model(str(folder))
        _write_class(folder, "RobertaTokenizer")
    elif kind == "albert":
        specials = {
            "pad_id": 0,
            "unk_id": 1,
            "bos_id": -1,
            "eos_id": -1,
            "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
        }
        _train_sentence_pieces(folder / "spiece.model", specials)
        _write_class(folder, "AlbertTokenizer")
    elif kind in ("xlm-roberta", "camembert"):
        _train_sentence_pieces(folder / "sentencepiece.bpe.model", {})
        _write_class(folder, {"xlm-roberta": "XLMRobertaTokenizer", "camembert": "CamembertTokenizer"}[kind])
    else:
        made = make_tokenizer(folder.parent / f"{folder.name}-tokenizer")
        for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
            if not (slow and name == "tokenizer.json"):
                shutil.copyfile(made / name, folder / name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if not slow:
        tokenizer.save_pretrained(folder)
        assert (folder / "tokenizer.json").is_file()
    return tokenizer


def _train_sentence_pieces(file: Path, specials: dict[str, Any]) -> None:
    prefix = str(file.with_suffix(""))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(labelled_texts()[0]), model_prefix=prefix, vocab_size=TOKENS, minloglevel=2, **specials
    )
    Path(f"{prefix}.vocab").unlink()


def _write_class(folder: Path, name: str) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")


def _shake(model: torch.nn.Module) -> None:
    """Move every parameter away from its initial value, so that none is a neutral 0 or 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def _fit(model: Any, tokenizer: Any) -> None:
    texts, labels = labelled_texts()
    expected = torch.tensor(labels) % model.config.num_labels
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.eval()  # without dropout it learns faster
    for _ in range(8):
        for batch in torch.randperm(len(texts)).split(20):
            encoded = tokenizer(
                [texts[index] for index in batch.tolist()],
                truncation=True,
                max_length=POSITIONS,
                padding=True,
                return_tensors="pt",
            )
            logits = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits
            loss = torch.nn.functional.cross_entropy(logits, expected[batch])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
