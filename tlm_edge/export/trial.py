"""Finding out whether a target works on this machine, by exporting a tiny model to it and running the file."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tlm_edge.export.registry import DEFAULT_MODEL, require_target
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder


@dataclass(frozen=True)
class Trial:
    """Whether a target works here; ``found`` is the runtime and how exact it was, or what stands in the way."""

    target: str
    works: bool
    found: str
    seconds: float


def try_target(target: str) -> Trial:
    """Export a one-layer classifier with random weights in float32 and put it through the usual gate."""
    start = time.perf_counter()
    works, found = False, ""
    with tempfile.TemporaryDirectory(prefix="tlm-edge-trial-") as folder:
        try:
            found = _export(target, Path(folder))
            works = True
        except UserError as error:
            found = str(error)
        except Exception as error:  # whatever a package raises that doesn't fit the others is what is asked for here
            found = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return Trial(target, works, found, round(time.perf_counter() - start, 1))


def _export(target: str, folder: Path) -> str:
    require_target(target, "fp32")
    from tlm_edge.export.export import export_model
    from tlm_edge.runtime.sessions import open_session

    bundle = export_model(_checkpoint(folder / "trial"), target, "fp32", folder / "bundle", buckets=(16,))
    session = open_session(bundle, threads=1)
    parity = bundle.manifest.parity
    within = "" if parity is None else f", logits within {parity.max_logit_difference:.0e} of PyTorch's"
    return f"{session.runtime} {session.version}{within}"


def _checkpoint(folder: Path) -> Path:
    import torch

    from tlm_edge.data.tokenizer import load_tokenizer
    from tlm_edge.modeling.checkpoint import save_checkpoint
    from tlm_edge.modeling.config import EncoderConfig
    from tlm_edge.modeling.heads import SequenceClassifier

    tokenizer_folder = models_folder() / DEFAULT_MODEL
    config = EncoderConfig(vocab_size=load_tokenizer(tokenizer_folder).get_vocab_size(), hidden_size=16)
    config = replace(config, num_attention_heads=2, intermediate_size=32, max_position_embeddings=32, labels=("a", "b"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SequenceClassifier(config)
    folder.mkdir()
    save_checkpoint(folder, model, tokenizer_folder)
    return folder
