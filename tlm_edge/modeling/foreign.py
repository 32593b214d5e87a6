"""Classifiers of the BERT family whose layers are not BERT's: transformers computes them, as they are written there."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tlm_edge.extras import require_extra
from tlm_edge.modeling.checkpoint import WEIGHTS, require_labels, require_weights
from tlm_edge.modeling.config import read_content, read_labels
from tlm_edge.modeling.hugging_face import in_berts_words
from tlm_edge.quiet import quiet
from tlm_edge.runtime.errors import UserError

#: The model types that are taken this way.
FOREIGN = ("albert", "mobilebert")

#: Added to the attention scores of padding: its softmax is 0, and half precision and int8 can hold it.
_MASKED_SCORE = -1e4


@dataclass(frozen=True)
class ForeignConfig:
    """What is asked of a classifier's shape, under the names of ``EncoderConfig``."""

    model_type: str
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    pad_token_id: int
    labels: tuple[str, ...]
    markers: tuple[int, ...] = ()


class ForeignClassifier(nn.Module):
    """A sequence classifier of transformers, called part by part.

    Its own ``forward`` would build masks of the smallest float, which no quantization survives. And MobileBERT's
    embedding of a token reads its neighbours: padding is made zero here, as the end of a text is, so that a text's
    answer doesn't depend on how far it was padded.
    """

    def __init__(self, model: Any, config: ForeignConfig) -> None:
        super().__init__()
        self.config = config
        base = getattr(model, model.base_model_prefix)
        self.embeddings, self.encoder, self.pooler = base.embeddings, base.encoder, base.pooler
        self.classifier = model.classifier
        # transformers 5 dropped head masks, transformers 4 counts on them.
        takes_head_mask = "head_mask" in inspect.signature(self.encoder.forward).parameters
        self._more = {"head_mask": [None] * config.num_hidden_layers} if takes_head_mask else {}

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits (batch, labels) of ``input_ids`` (batch, length) with ``attention_mask`` 0 at padding."""
        visible = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        words = self.embeddings.word_embeddings(input_ids)
        visible = visible.to(words.dtype)
        hidden = self.embeddings(
            inputs_embeds=words * visible.unsqueeze(-1), token_type_ids=torch.zeros_like(input_ids)
        )
        masked = ((1 - visible) * _MASKED_SCORE)[:, None, None, :]
        hidden = self.encoder(hidden, attention_mask=masked, **self._more)[0]
        # ALBERT's pooler is the linear layer alone, MobileBERT's picks the row by itself.
        read = torch.tanh(self.pooler(hidden[:, 0])) if self.config.model_type == "albert" else self.pooler(hidden)
        logits: Tensor = self.classifier(read)
        return logits


def load_foreign_classifier(folder: Path) -> ForeignClassifier:
    """Load a checkpoint of one of ``FOREIGN`` in float32 through transformers. Raises as ``members.load_member``."""
    content = read_content(folder)
    kind = content["model_type"]
    where = str(folder / "config.json")
    in_berts_words(content, where)
    labels = read_labels(content, where)
    require_weights(folder)
    require_extra("transformers", for_what=f"{folder}, a {kind}, which transformers computes,")
    require_labels(folder, labels, _rows_of_classifier(folder))
    model = _from_transformers(folder)
    shape = model.config
    return ForeignClassifier(
        model,
        ForeignConfig(
            model_type=kind,
            vocab_size=shape.vocab_size,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.num_hidden_layers,
            num_attention_heads=shape.num_attention_heads,
            max_position_embeddings=shape.max_position_embeddings,
            pad_token_id=shape.pad_token_id or 0,
            labels=labels,
        ),
    ).eval()


def _rows_of_classifier(folder: Path) -> int:
    path = folder / WEIGHTS
    try:
        with safe_open(path, "pt") as tensors:
            if "classifier.weight" not in tensors.keys():  # noqa: SIM118 (no dictionary)
                raise UserError(f"{folder} is a bare encoder without a classifier: give a fine-tuned checkpoint")
            return int(tensors.get_slice("classifier.weight").get_shape()[0])
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} can't be read ({error}): the file is damaged, fetch or save it again") from error


def _from_transformers(folder: Path) -> Any:
    with quiet():
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # transformers raises whatever its parts raise
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise UserError(f"transformers {transformers.__version__} can't load {folder}: {reason}") from error
    if missing := sorted(report["missing_keys"]):
        raise UserError(f"{folder / WEIGHTS} lacks the tensor {missing[0]}: not a complete checkpoint")
    return model
