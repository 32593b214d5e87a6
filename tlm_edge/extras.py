"""The optional parts of the installation: which packages each one brings, and what to say when it is missing."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec

from tlm_edge.runtime.errors import MissingExtraError

#: extra → the modules whose presence tells that it is installed (see ``pyproject.toml``).
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "accelerate", "safetensors", "sklearn", "matplotlib"),
    "onnx": ("torch", "onnx", "safetensors", "sklearn"),
    "tflite": ("torch", "litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
    "executorch": ("torch", "executorch", "torchao"),
    "report": ("jinja2", "markdown_it", "matplotlib"),
    "hub": ("datasets", "huggingface_hub"),
    "transformers": ("torch", "safetensors", "transformers", "sentencepiece"),
    "cluster": ("torch", "ray"),
}


def missing_modules(extra: str) -> list[str]:
    """Names of the modules of ``extra`` that are not installed; empty when the extra is complete."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def require_extra(extra: str, *, for_what: str) -> None:
    """Raise ``MissingExtraError`` naming the command that installs ``extra``, unless it is installed."""
    missing = missing_modules(extra)
    # The marker of litert-torch in pyproject.toml: pip would leave it out, and the same message would come again.
    if "litert_torch" in missing and not (sys.platform == "darwin" or platform.machine() == "x86_64"):
        raise MissingExtraError(
            f"{for_what} needs litert-torch, which has no packages for {platform.system()} on {platform.machine()}: "
            "export on x86-64 Linux or macOS; the bundle runs here"
        )
    if missing:
        raise MissingExtraError(
            f"{for_what} needs {', '.join(missing)}, which the extra '{extra}' brings: "
            f'pip install "tlm-edge[{extra}]"'
        )
