"""The soft committee: several checkpoints that vote with the mean of their softmax outputs (arXiv 2507.14871)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlm_edge.files import new_folder, sha256_file, write_json
from tlm_edge.modeling.checkpoint import TOKENIZER_FILES, copy_tokenizer
from tlm_edge.modeling.members import Member, load_member, read_member_config
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.vote import weights_fault

COMMITTEE = "committee.json"


@dataclass(frozen=True)
class Committee:
    """Members that share labels and tokenizer; ``folder`` holds the tokenizer and ``members/00``, ``members/01`` ….

    ``weights`` are those of the members' votes, empty where all count the same.
    """

    folder: Path
    members: tuple[Member, ...]
    labels: tuple[str, ...]
    weights: tuple[float, ...] = ()

    @property
    def max_length(self) -> int:
        """The longest input, in tokens, that every member takes."""
        return min(member.config.max_position_embeddings for member in self.members)


def is_committee(folder: Path) -> bool:
    """Whether ``folder`` holds a committee."""
    return (folder / COMMITTEE).is_file()


def member_folders(folder: Path) -> list[Path]:
    """The members' checkpoint folders in voting order. Raises ``UserError`` if the committee is incomplete."""
    try:
        names = json.loads((folder / COMMITTEE).read_text(encoding="utf-8"))["members"]
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{folder / COMMITTEE} can't be read ({error}): build the committee again") from error
    folders = [folder / name for name in names]
    for member in folders:
        if folder.resolve() not in member.resolve().parents or not member.is_dir():
            raise UserError(f"{folder}: the member {member.name} is not inside the committee: build it again")
    if not folders:
        raise UserError(f"{folder} has no members: build the committee again")
    return folders


def vote_weights(folder: Path) -> tuple[float, ...]:
    """The weights of the members' votes, empty where all count the same. Raises ``UserError`` if they are damaged."""
    weights = json.loads((folder / COMMITTEE).read_bytes()).get("weights", [])
    numbers = isinstance(weights, list) and all(isinstance(weight, int | float) for weight in weights)
    fault = weights_fault(weights, len(member_folders(folder))) if numbers else f"{weights!r} are no weights"
    if fault is not None:
        raise UserError(f"{folder / COMMITTEE}: {fault}: build the committee again")
    return tuple(map(float, weights))


def load_committee(folder: Path) -> Committee:
    """Load every member in float32, ready for inference. Raises ``UserError`` if they don't fit together."""
    folders = member_folders(folder)
    check_members(folders, tokenizer_folder=folder)
    members = tuple(load_member(member) for member in folders)
    return Committee(folder, members, members[0].config.labels, vote_weights(folder))


def build_committee(
    members: Sequence[Path],
    out: Path,
    *,
    card: str = "",
    recipe: Mapping[str, Any] | None = None,
    weights: Sequence[float] = (),
    force: bool = False,
) -> None:
    """Copy member checkpoints into a committee folder; ``recipe`` becomes its ``training.json``.

    ``weights``, one a member and together 1, weight their votes; without them all count the same.

    A committee among ``members`` stands for its own. Raises ``UserError`` when there are fewer than two, or labels or
    tokenizers differ.
    """
    members = single_members(members)
    if len(members) < 2:
        raise UserError("a committee needs at least two members: name two or more checkpoints")
    check_members(members)
    with new_folder(out, force=force) as folder:
        names = [f"members/{index:02d}" for index in range(len(members))]
        for source, name in zip(members, names, strict=True):
            # The tokenizer is stored once, in the committee's own folder.
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*TOKENIZER_FILES, "state", "bundle*"))
        copy_tokenizer(tokenizer_home(members[0]), folder)
        content = {"schema_version": 1, "vote": "mean-softmax", "members": names}
        content |= {"weights": list(weights)} if weights else {}
        (folder / COMMITTEE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if recipe is not None:
            write_json(folder / "training.json", recipe)
        (folder / "README.md").write_text(card or _card(members), encoding="utf-8")


def check_members(members: Sequence[Path], *, tokenizer_folder: Path | None = None) -> None:
    """Raise ``UserError``, naming the member, if labels or tokenizers disagree.

    With ``tokenizer_folder`` the members share the tokenizer stored there.
    """
    first = read_member_config(members[0])
    if tokenizer_folder is None:
        digests = {member: tokenizer_digest(member) for member in members}
    else:
        digests = dict.fromkeys(members, tokenizer_digest(tokenizer_folder))
    for member in members:
        config = read_member_config(member)
        if config.labels != first.labels:
            raise UserError(
                f"{member} has the labels {_shorten(config.labels)}, {members[0]} has {_shorten(first.labels)}: "
                "members of a committee must share labels and their order"
            )
        if digests[member] != digests[members[0]]:
            raise UserError(
                f"{member} and {members[0]} have different tokenizers: members of a committee must share it"
            )


def single_members(folders: Sequence[Path]) -> list[Path]:
    """``folders`` with the members of a committee in its place."""
    return [member for folder in folders for member in (member_folders(folder) if is_committee(folder) else [folder])]


def tokenizer_home(folder: Path) -> Path:
    """The folder that holds a checkpoint's tokenizer: itself, or the committee that it is a member of."""
    committee = folder.resolve().parent.parent
    has_own = any((folder / name).is_file() for name in TOKENIZER_FILES)
    return committee if not has_own and is_committee(committee) else folder


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 of a folder's tokenizer. Raises ``UserError`` if it has none."""
    folder = tokenizer_home(folder)
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return sha256_file(folder / name)
    raise UserError(f"{folder} has no tokenizer.json: save the checkpoint with its tokenizer")


def _shorten(labels: Sequence[str]) -> str:
    return ", ".join(labels[:6]) + (", …" if len(labels) > 6 else "") if labels else "(none)"


def _card(members: Sequence[Path]) -> str:
    lines = "\n".join(f"- `members/{index:02d}`: from `{member.name}`" for index, member in enumerate(members))
    return (
        "---\nlibrary_name: tlm-edge\npipeline_tag: text-classification\n---\n\n# Soft committee\n\n"
        f"The vote is the mean of the members' softmax outputs.\n\n{lines}\n"
    )
