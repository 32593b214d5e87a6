"""Models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from tlm_edge.hub import fetch_model, is_hub_name
from tlm_edge.runtime.errors import UserError

_PACKAGE = Path(__file__).resolve().parent
#: What makes a folder a model: a checkpoint's, a committee's or a bundle's description.
_MARKS = ("config.json", "committee.json", "manifest.json")
#: One-layer encoders that were pre-trained independently, so that a committee's members differ where it helps.
ENCODERS = ("wiki-bert-1", "wiki-bert-1-2", "wiki-bert-1-3")


def models_folder() -> Path:
    """The folder of the shipped models: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / "models"
    return installed if installed.is_dir() else _PACKAGE.parent / "models"


def shipped_names() -> list[str]:
    """Names of the shipped models, sorted."""
    folder = models_folder()
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if any((entry / mark).is_file() for mark in _MARKS))


#: What installs the weights that the wheel leaves out.
WEIGHTS_COMMAND = "pip install tlm-edge-models"


def is_shipped(path: Path) -> bool:
    """Whether ``path`` belongs to a shipped model."""
    return models_folder().resolve() in path.resolve().parents


def lacks_weights(folder: Path) -> bool:
    """Whether ``folder`` is a shipped checkpoint or committee without weights: the light wheel leaves most of them out.

    Its ready-made bundle, if it has one, runs all the same.
    """
    return is_shipped(folder) and next(folder.rglob("*.safetensors"), None) is None


def resolve_model(model: str | Path) -> Path:
    """The folder or file that ``model`` means: a path, the name of a shipped model, or ``owner/name`` of the hub.

    A path that exists wins over a name. A model of the hub is fetched into the hub's own cache.
    Raises ``UserError`` if it is none of these.
    """
    path = Path(model)
    if path.exists():
        return path
    if str(model) in shipped_names():
        return models_folder() / str(model)
    if is_hub_name(str(model)):
        return fetch_model(str(model))
    if str(model) in ENCODERS:
        raise UserError(f"{model} is not part of this installation: {WEIGHTS_COMMAND}")
    known = ", ".join(shipped_names()) or "none in this installation"
    raise UserError(
        f"no model '{model}': give the path of a checkpoint, committee or bundle, or a shipped name ({known})"
    )


def evaluation_texts(task: str) -> Path:
    """The labelled texts for offline use that come with ``task`` ("agnews"): JSON Lines with ``text`` and ``label``.

    Raises ``UserError`` if the installation has none for it.
    """
    path = models_folder() / "evaluation" / f"{task}.jsonl"
    if not path.is_file():
        raise UserError(f"no evaluation texts for '{task}' in this installation: give a file of your own with --data")
    return path
