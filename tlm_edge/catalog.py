"""The models that can be named: those that come with the package, and the hub's, to fetch and to publish."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.extras import require_extra
from tlm_edge.files import new_folder
from tlm_edge.hub import CHECKPOINT_FILES, is_hub_name
from tlm_edge.loading import PREBUILT_BUNDLE
from tlm_edge.runtime.bundle import is_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import WEIGHTS_COMMAND, lacks_weights, models_folder, resolve_model, shipped_names

#: What is published of a folder besides the checkpoint: the card, the recipe and a ready-made bundle.
_PUBLISHED = (*CHECKPOINT_FILES, "README.md", "training.json", "training.png", "members/*/README.md", "onnx-int8/*")


@dataclass(frozen=True)
class ShippedModel:
    """A model of the package: what it is, its labels (none: an encoder to fine-tune), bytes on disk and its folder.

    Without ``weights`` it can't be exported or trained on, but runs from its ready-made ``bundle`` if it has one.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    bytes: int
    weights: bool
    bundle: bool
    folder: str


def shipped_models() -> list[ShippedModel]:
    """Every model that came with this installation, by name."""
    return [_describe(models_folder() / name) for name in shipped_names()]


def pull_model(name: str, out: Path | None = None, *, force: bool = False) -> Path:
    """Fetch ``owner/name`` from the hub, or take a shipped model; with ``out`` as a copy of its own; the folder.

    What a shipped checkpoint shares with others is part of the copy, which any Hugging Face library loads then.
    Raises ``UserError`` if it is no such name, the hub doesn't give it, or its weights aren't installed.
    """
    if not is_hub_name(name) and name not in shipped_names():
        raise UserError(f"'{name}' is neither a name of the hub's, owner/name, nor a shipped model's")
    found = resolve_model(name)
    if out is None:
        return found
    if lacks_weights(found):
        raise UserError(f"the weights of {name} are not part of this installation: {WEIGHTS_COMMAND}")
    with new_folder(out, force=force) as folder:
        _copy_whole(found, folder)
    return out


def push_model(folder: Path, name: str, *, private: bool = False) -> str:
    """Publish a checkpoint or committee as ``owner/name`` on the hub; the address of what was published.

    Model card and recipe go along, and nothing else that lies there. Raises ``UserError`` if ``folder`` is no model, or
    the hub refuses.
    """
    if not any((folder / mark).is_file() for mark in ("model.safetensors", "difference.safetensors", "committee.json")):
        raise UserError(f"{folder} is no checkpoint or committee: it has no model.safetensors or committee.json")
    if not is_hub_name(name):
        raise UserError(f"'{name}' is no name for the hub: give owner/name")
    require_extra("hub", for_what="publishing a model")
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    with tempfile.TemporaryDirectory() as whole:
        _copy_whole(folder, Path(whole))
        try:
            hub.create_repo(name, private=private, exist_ok=True)
            done = hub.upload_folder(
                repo_id=name, folder_path=whole, allow_patterns=list(_PUBLISHED), commit_message="Upload by tlm-edge"
            )
        except Exception as error:  # the library raises many kinds, of its own and of the network
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"the hub did not take {name} ({reason}): check the name, and log in with `hf auth login`"
            ) from error
    return str(done.commit_url)


def _copy_whole(source: Path, folder: Path) -> None:
    """Copy a model into ``folder``: links become files, and differences from an encoder whole weights."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    if any(source.rglob("difference.safetensors")):
        require_extra("train", for_what="making a checkpoint whole")
        from tlm_edge.modeling.whole import make_whole

        make_whole(folder)


def _describe(folder: Path) -> ShippedModel:
    source = folder
    if (folder / "committee.json").is_file():
        members = json.loads((folder / "committee.json").read_bytes())["members"]
        kind, source = f"committee of {len(members)}", folder / members[0]
    else:
        kind = "classifier"
    labels: dict[str, str] = json.loads((source / "config.json").read_bytes()).get("id2label", {})
    return ShippedModel(
        name=folder.name,
        kind=kind if labels else "encoder",
        labels=tuple(labels[str(number)] for number in range(len(labels))),
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        weights=not lacks_weights(folder),
        bundle=is_bundle(folder / PREBUILT_BUNDLE),
        folder=str(folder),
    )
