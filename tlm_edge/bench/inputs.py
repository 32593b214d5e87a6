"""What is to be measured: bundles as they are, and models exported on the spot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path

from tlm_edge import __version__
from tlm_edge.extras import EXTRAS, missing_modules, require_extra
from tlm_edge.files import sha256_file
from tlm_edge.loading import PREBUILT_BUNDLE
from tlm_edge.runtime.bundle import Bundle, is_bundle, open_bundle
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.layout import Layout
from tlm_edge.runtime.manifest import MANIFEST_FILE
from tlm_edge.shipped import lacks_weights, models_folder, resolve_model, shipped_names

#: What is measured where nothing is named: the deep model against the committee.
DEFAULT_MODELS = ("agnews-bert-6", "agnews-committee")
DEFAULT_TARGET = "onnx"
#: The packages of ours whose code an exported file depends on.
EXPORTING = ("modeling", "compile", "export")


@dataclass(frozen=True)
class Input:
    """An opened bundle, the path it was opened from, and the checkpoint it was exported from, where that is at hand."""

    path: Path
    bundle: Bundle
    checkpoint: Path | None

    @property
    def manifest_sha256(self) -> str:
        """The digest that fixes the bundle's whole content."""
        return sha256_file(self.bundle.folder / MANIFEST_FILE)


def open_inputs(
    models: Sequence[str],
    precisions: Sequence[str],
    targets: Sequence[str] = (DEFAULT_TARGET,),
    layouts: Sequence[Layout] = (),
) -> list[Input]:
    """Open bundles; export checkpoints, committees and shipped models to each of ``targets`` and ``precisions``.

    Committees are exported in each of ``layouts``, in their usual one if there are none. Exported bundles are kept in
    the user's cache and found there the next time. Without the extra that exports, or the weights, a shipped model's
    ready-made bundle is taken.
    Raises ``UserError`` for what is none of these, can't be exported, or is given twice.
    """
    inputs: list[Input] = []
    for model in models:
        path = resolve_model(model)
        if is_bundle(path):
            inputs.append(open_input(path))
        else:
            chosen: Sequence[Layout | None] = layouts if (path / "committee.json").is_file() else ()
            inputs += [
                open_input(_exported(path, precision, target, layout), path)
                for target, precision, layout in product(targets, precisions, chosen or [None])
            ]
    seen: set[str] = set()
    for one in inputs:
        if one.manifest_sha256 in seen:
            raise UserError(f"{one.path} is given twice: once is enough, repetitions are made anyway")
        seen.add(one.manifest_sha256)
    return inputs


def open_input(path: Path, checkpoint: Path | None = None) -> Input:
    """Open the bundle at ``path``; its checkpoint, if not given, is the shipped model of the same name, if any.

    Raises ``UserError`` if the bundle can't be opened.
    """
    bundle = open_bundle(path)
    name = bundle.manifest.source.name
    if checkpoint is None and name in shipped_names():
        checkpoint = models_folder() / name
    return Input(path, bundle, None if checkpoint is None or lacks_weights(checkpoint) else checkpoint)


def _exported(checkpoint: Path, precision: str, target: str, layout: Layout | None) -> Path:
    """The bundle of ``checkpoint``: from the cache, exported now, or the ready-made one beside it."""
    _require_model(checkpoint)
    if missing_modules(target) or lacks_weights(checkpoint):
        prebuilt = checkpoint / PREBUILT_BUNDLE
        if f"{target}-{precision}" == PREBUILT_BUNDLE and is_bundle(prebuilt) and layout in (None, "fused"):
            return prebuilt
        require_extra(target, for_what=f"exporting {checkpoint} to {target} {precision}")
    name = "-".join([checkpoint.resolve().name, target, precision, *([layout] if layout else [])])
    out = cache_root() / "bundles" / _digest(checkpoint, target) / name
    if not is_bundle(out):
        from tlm_edge.export.export import export_model

        export_model(checkpoint, target, precision, out, layout=layout, force=True)
    return out


def _require_model(path: Path) -> None:
    if not any((path / name).is_file() for name in ("config.json", "committee.json")):
        raise UserError(f"{path} is no checkpoint, committee or bundle: it has no config.json or manifest.json")


def _digest(checkpoint: Path, target: str) -> str:
    """What fixes an export: our code and the libraries that make it, and the checkpoint's content."""
    digest = hashlib.sha256(f"{__version__} {_libraries(target)}".encode())
    ours = Path(__file__).parents[1]
    for file in sorted(path for part in EXPORTING for path in (ours / part).glob("*.py")):
        digest.update(file.read_bytes())
    for file in sorted(path for path in checkpoint.rglob("*") if path.suffix in (".json", ".safetensors", ".txt")):
        relative = file.relative_to(checkpoint)
        if relative.parts[0] != PREBUILT_BUNDLE:
            digest.update(f"{relative.as_posix()} {sha256_file(file)}\n".encode())
    return digest.hexdigest()[:16]


def _libraries(target: str) -> dict[str, str]:
    """The versions of those of the target's libraries that are installed under the name they are imported by."""
    versions = {}
    for module in EXTRAS[target]:
        with suppress(PackageNotFoundError):
            versions[module] = version(module)
    return versions
