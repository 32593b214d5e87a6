"""The runtimes by target: a new one is its module and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.cores import usable_cores
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.session import Session
from tlm_edge.runtime.staged import StagedSession

#: target → module and class, imported only when a bundle asks for it.
_SESSIONS: dict[str, tuple[str, str]] = {
    "onnx": ("tlm_edge.runtime.onnx", "OnnxSession"),
    "tflite": ("tlm_edge.runtime.tflite", "TfliteSession"),
    "executorch": ("tlm_edge.runtime.executorch", "ExecutorchSession"),
}


def open_session(bundle: Bundle, threads: int | None = None, *, all_members: bool = False) -> Session:
    """Load the model of ``bundle`` in its target's runtime, with ``threads`` threads (all cores if ``None``).

    With ``all_members`` a cascade asks every member of every text. Members that have files of their own and are all
    asked share the threads: as many compute at once as there are threads, each on its part of them.
    Raises ``UserError`` if the target is unknown here or the runtime can't load the file.
    """
    manifest = bundle.manifest
    if manifest.target not in _SESSIONS:
        raise UserError(
            f"{bundle.path} is for the target '{manifest.target}'; this tlm-edge runs {', '.join(_SESSIONS)}: "
            "export the model for one of these"
        )
    module, name = _SESSIONS[manifest.target]
    kind = getattr(import_module(module), name)
    if not manifest.member_files:
        return cast(Session, kind(bundle.model_file, threads))
    cascade = None if all_members else manifest.cascade
    cores = threads or usable_cores()
    at_once = 1 if cascade is not None else min(cores, len(manifest.member_files))
    members = [kind(bundle.folder / file, cores // at_once) for file in manifest.member_files]
    return StagedSession(members, cascade, manifest.weights, at_once)
