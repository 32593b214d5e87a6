"""Checkpoints: Hugging Face folders of one model, read and written without the transformers package."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tlm_edge.files import sha256_file, write_json
from tlm_edge.hub import hub_name
from tlm_edge.modeling.config import EncoderConfig, read_config, read_content
from tlm_edge.modeling.difference import DIFFERENCE, Base, differences, read_base, restored
from tlm_edge.modeling.heads import MaskedLanguageModel, SequenceClassifier
from tlm_edge.modeling.hugging_face import rename_tensors
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import WEIGHTS_COMMAND, is_shipped, lacks_weights, models_folder, resolve_model, shipped_names

WEIGHTS = "model.safetensors"
#: Weights of other formats, all of which can carry code.
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
#: The files that make a tokenizer; copied along with every checkpoint.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")

#: Our parameter names → those of Hugging Face's BertForMaskedLM and BertForSequenceClassification.
_NAMES = {
    r"encoder\.embeddings\.word\.": "bert.embeddings.word_embeddings.",
    r"encoder\.embeddings\.position\.": "bert.embeddings.position_embeddings.",
    r"encoder\.embeddings\.token_type\.": "bert.embeddings.token_type_embeddings.",
    r"encoder\.embeddings\.bigram\.": "bert.embeddings.bigram_embeddings.",
    r"encoder\.embeddings\.norm\.": "bert.embeddings.LayerNorm.",
    r"encoder\.embeddings\.projection\.": "bert.embeddings.projection.",
    r"encoder\.layers\.(\d+)\.(query|key|value)\.": r"bert.encoder.layer.\1.attention.self.\2.",
    r"encoder\.layers\.(\d+)\.output\.": r"bert.encoder.layer.\1.attention.output.dense.",
    r"encoder\.layers\.(\d+)\.output_norm\.": r"bert.encoder.layer.\1.attention.output.LayerNorm.",
    r"encoder\.layers\.(\d+)\.up\.": r"bert.encoder.layer.\1.intermediate.dense.",
    r"encoder\.layers\.(\d+)\.down\.": r"bert.encoder.layer.\1.output.dense.",
    r"encoder\.layers\.(\d+)\.down_norm\.": r"bert.encoder.layer.\1.output.LayerNorm.",
    r"encoder\.convolution\.": "bert.convolution.",
    r"pooler\.": "bert.pooler.dense.",
    r"transform\.": "cls.predictions.transform.dense.",
    r"transform_norm\.": "cls.predictions.transform.LayerNorm.",
    r"decoder_bias$": "cls.predictions.bias",
    r"classifier\.": "classifier.",
}


@dataclass(frozen=True)
class LowRank:
    """That weights are stored as differences of ``rank`` from those of the checkpoint ``encoder``."""

    encoder: Path
    rank: int


def hugging_face_name(name: str) -> str:
    """The name Hugging Face's BERT gives to our parameter ``name``."""
    for ours, theirs in _NAMES.items():
        if re.match(ours, name):
            return re.sub("^" + ours, theirs, name)
    raise KeyError(name)


def save_checkpoint(
    folder: Path,
    model: MaskedLanguageModel | SequenceClassifier,
    tokenizer_folder: Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    card: str = "",
    half: bool = False,
    low_rank: LowRank | None = None,
) -> None:
    """Write a checkpoint into the existing, empty ``folder`` (see ``files.new_folder`` for how to make it whole).

    Weights are stored in float32, or with ``half`` in float16, or as the differences that ``low_rank`` says;
    ``recipe`` as ``training.json``; ``card`` as the model card ``README.md``.
    """
    head = "MaskedLM" if isinstance(model, MaskedLanguageModel) else "SequenceClassification"
    content = model.config.to_json(head) | {"torch_dtype": "float16" if half else "float32"}
    write_json(folder / "config.json", content)
    if low_rank is None:
        save_weights(folder / WEIGHTS, model, half=half)
    else:
        metadata = {"format": "pt", **named_base(low_rank.encoder).metadata()}
        (folder / DIFFERENCE).write_bytes(save(_differences(model, low_rank, half=half), metadata=metadata))
    copy_tokenizer(tokenizer_folder, folder)
    if recipe is not None:
        write_json(folder / "training.json", recipe)
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a tokenizer's files, as many as there are."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def save_weights(path: Path, model: nn.Module, *, half: bool = False) -> None:
    """Write a model's parameters and buffers under Hugging Face's names as safetensors."""
    # Not save_file, which makes the file unreadable for everyone but its owner.
    path.write_bytes(save(_as_stored(_tensors(model), half=half), metadata={"format": "pt"}))


def keep_low_rank(model: nn.Module, low_rank: LowRank, *, half: bool = False) -> None:
    """Round the weights of ``model`` to what ``save_checkpoint`` will store of them with ``low_rank``."""
    stored, folder = _differences(model, low_rank, half=half), low_rank.encoder
    load_weights(model, restored(stored, read_weights(folder), folder), folder)


def _differences(model: nn.Module, low_rank: LowRank, *, half: bool) -> dict[str, Tensor]:
    return _as_stored(differences(_tensors(model), read_weights(low_rank.encoder), low_rank.rank), half=half)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's parameters and buffers by Hugging Face's names."""
    tensors = model.state_dict().items()
    return {hugging_face_name(name): tensor.detach().to("cpu", copy=True) for name, tensor in tensors}


def _as_stored(tensors: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    return {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in tensors.items()
    }


def named_base(encoder: Path) -> Base:
    """How a checkpoint of differences names the ``encoder`` that it was fine-tuned from: as others can find it, too."""
    name = encoder.name if is_shipped(encoder) else hub_name(encoder) or str(encoder.resolve())
    return Base(name, sha256_file(require_weights(encoder)))


def load_classifier(folder: Path) -> SequenceClassifier:
    """Load a fine-tuned checkpoint in float32, ready for inference. Raises ``UserError`` if it is not one."""
    config = read_config(folder)
    weights = read_weights(folder)
    if not config.labels or "classifier.weight" not in weights:
        raise UserError(f"{folder} is a bare encoder without a classifier: fine-tune it first (tlm-edge finetune)")
    require_labels(folder, config.labels, len(weights["classifier.weight"]))
    model = SequenceClassifier(config)
    load_weights(model, weights, folder)
    return model.eval()


def require_labels(folder: Path, labels: Sequence[str], rows: int) -> None:
    """Raise ``UserError`` unless a classifier of ``rows`` logits chooses one of ``labels``, at least two."""
    if len(labels) != rows:
        raise UserError(
            f"{folder}: config.json names {len(labels)} labels but the classifier has {rows}: repair id2label"
        )
    if rows < 2:
        raise UserError(f"{folder}: a single logit, so a head for regression; only classifiers of labels are supported")


def load_masked_language_model(folder: Path) -> MaskedLanguageModel:
    """Load a pre-trained checkpoint with its prediction head in float32. Raises ``UserError`` if it has none."""
    weights = read_weights(folder)
    if "cls.predictions.bias" not in weights:
        raise UserError(f"{folder} has no masked-language-model head: give a checkpoint of tlm-edge pretrain")
    model = MaskedLanguageModel(read_config(folder))
    load_weights(model, weights, folder)
    return model


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], folder: Path, *, optional: str = "") -> None:
    """Copy ``weights`` (Hugging Face's names) into ``model``.

    Names that match the regular expression ``optional`` may be missing (they keep their initial values). Raises
    ``UserError`` for other missing names and for shapes that disagree.
    """
    for name, target in model.state_dict().items():
        theirs = hugging_face_name(name)
        if theirs not in weights:
            if optional and re.match(optional, theirs):
                continue
            raise UserError(f"{folder / WEIGHTS} lacks the tensor {theirs}: not a complete checkpoint")
        if weights[theirs].shape != target.shape:
            raise UserError(
                f"{folder / WEIGHTS}: {theirs} has shape {tuple(weights[theirs].shape)}, but config.json "
                f"asks for {tuple(target.shape)}"
            )
        with torch.no_grad():
            target.copy_(weights[theirs])


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by the names of Hugging Face's BERT, however old it is or whose relative.

    Raises ``UserError`` if there are none, if they can't be read, or if only a pickle is there.
    """
    return rename_tensors(load_tensors(folder), read_content(folder))


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint as they are named there, made whole if only differences are stored.

    Raises ``UserError`` as ``read_weights``, and if the encoder that they are differences from isn't here.
    """
    path = require_weights(folder)
    try:
        tensors: dict[str, Tensor] = load_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} can't be read ({error}): the file is damaged, fetch or save it again") from error
    return tensors if path.name == WEIGHTS else restored(tensors, _base_weights(read_base(metadata, path), path), path)


def _base_weights(base: Base, path: Path) -> dict[str, Tensor]:
    """The weights that those of the file ``path`` are differences from. Raises ``UserError`` if they aren't here."""
    try:
        # A shipped encoder is meant by its name, whatever folder of that name lies in the working directory.
        encoder = models_folder() / base.name if base.name in shipped_names() else resolve_model(base.name)
        found = sha256_file(require_weights(encoder))
    except UserError as error:
        raise UserError(f"{path} holds differences from the encoder {base.name}, which is missing: {error}") from error
    if found != base.sha256:
        raise UserError(f"{path} holds differences from another {base.name} than {encoder}: fine-tune it again")
    return read_weights(encoder)


def require_weights(folder: Path) -> Path:
    """The file of a checkpoint's weights, or of their differences from an encoder's.

    Raises ``UserError`` if there is none, or only a pickle, with the remedy.
    """
    for name in (WEIGHTS, DIFFERENCE):
        if (folder / name).is_file():
            return folder / name
    if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
        raise UserError(
            f"{folder} holds only pickled weights, which can run code when they are loaded: if you trust them, convert "
            'them, python -c "from transformers import AutoModelForSequenceClassification as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    if (folder / f"{WEIGHTS}.index.json").is_file():
        raise UserError(f"{folder}: its weights are spread over several files: save them as one {WEIGHTS}")
    if lacks_weights(folder):
        raise UserError(f"the weights of {folder.name} are not part of this installation: {WEIGHTS_COMMAND}")
    raise UserError(f"{folder} is not a checkpoint: it has no {WEIGHTS}")


def is_checkpoint(folder: Path) -> bool:
    """Whether ``folder`` looks like the checkpoint of one model."""
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in (WEIGHTS, DIFFERENCE))


def tokenizer_vocabulary(config: EncoderConfig, tokenizer_size: int, folder: Path) -> None:
    """Raise ``UserError`` unless a tokenizer of ``tokenizer_size`` tokens fits the embedding table."""
    if tokenizer_size > config.vocab_size:
        raise UserError(
            f"{folder}: the tokenizer has {tokenizer_size} tokens, the model only {config.vocab_size} embeddings: "
            "use the tokenizer that the model was trained with"
        )
