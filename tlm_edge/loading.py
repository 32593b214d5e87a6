"""What a MODEL argument means, and the classifier that runs it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tlm_edge.extras import require_extra
from tlm_edge.runtime.bundle import is_bundle, open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import lacks_weights, resolve_model

if TYPE_CHECKING:
    from tlm_edge.runtime.classifier import Classifier

#: The bundle that stands beside a shipped checkpoint for installations without PyTorch.
PREBUILT_BUNDLE = "onnx-int8"


def load_model(model: str | Path, threads: int | None = None, *, all_members: bool = False) -> Classifier:
    """The classifier of a bundle (in its own runtime) or of a checkpoint or committee (in PyTorch).

    With ``all_members`` a cascade asks every member of every text.
    Without PyTorch or its weights a shipped checkpoint runs from the bundle that stands beside it, if there is one.
    Raises ``UserError`` if ``model`` is none of these, ``MissingExtraError`` if PyTorch is needed and missing.
    """
    path = resolve_model(model)
    if not is_bundle(path):
        if not any((path / name).is_file() for name in ("config.json", "committee.json")):
            raise UserError(f"{path} is no checkpoint, committee or bundle: it has no config.json or manifest.json")
        has_torch = all(find_spec(module) is not None for module in ("torch", "safetensors"))
        if (has_torch and not lacks_weights(path)) or not is_bundle(path / PREBUILT_BUNDLE):
            if not has_torch:
                require_extra("train", for_what=f"running the checkpoint {path}")
            from tlm_edge.modeling.predict import TorchClassifier

            return TorchClassifier(path, threads, all_members=all_members)
        path = path / PREBUILT_BUNDLE
    from tlm_edge.runtime.bundle_classifier import BundleClassifier

    return BundleClassifier(open_bundle(path), threads, all_members=all_members)
