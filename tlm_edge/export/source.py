"""What is exported: a checkpoint or a committee with everything that travels with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from tlm_edge.data.slow_tokenizer import SLOW_FILES
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.files import sha256_file
from tlm_edge.hub import name_of
from tlm_edge.modeling.checkpoint import WEIGHTS
from tlm_edge.modeling.committee import is_committee, load_committee, member_folders, tokenizer_home
from tlm_edge.modeling.config import read_content
from tlm_edge.modeling.difference import DIFFERENCE
from tlm_edge.modeling.members import Member, load_member
from tlm_edge.modeling.ngrams import NGRAMS, NgramClassifier
from tlm_edge.modeling.stored_cascade import read_cascade
from tlm_edge.runtime.cascade import Cascade, Votes, vote_in_turn
from tlm_edge.runtime.classifier import TokenIds, votes_in_batches
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.layout import Layout
from tlm_edge.runtime.manifest import Source
from tlm_edge.runtime.tokenize import pad, well_formed
from tlm_edge.runtime.vote import soft_vote

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class SourceModel:
    """The members (one, for a plain checkpoint) in evaluation mode, their labels, tokenizer and limits.

    The tokenizer cuts texts to ``max_length`` tokens. ``layout`` says how the members are exported, ``cascade`` in
    which order they are asked where that is in turn; ``weights`` are those of their votes, equal if there are none.
    """

    folder: Path
    members: tuple[Member, ...]
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    max_length: int
    cls_token_id: int
    is_committee: bool
    layout: Layout = "fused"
    cascade: Cascade | None = None
    weights: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The name of its folder, or of its repository on the hub."""
        return name_of(self.folder)

    @property
    def pad_token_id(self) -> int:
        """The token that pads shorter texts of a batch."""
        return self.members[0].config.pad_token_id

    def describe(self) -> Source:
        """What a manifest says of it."""
        return Source(
            name=self.name,
            kind="committee" if self.is_committee else "checkpoint",
            architecture=self._architecture(),
            members=len(self.members),
            parameters=sum(parameter.numel() for member in self.members for parameter in member.parameters()),
            sha256=_digest(self.folder),
        )

    def _architecture(self) -> str:
        folders = member_folders(self.folder) if self.is_committee else [self.folder]
        kinds = [read_content(folder)["model_type"] for folder in folders]
        words = []
        encoders = [member.config for member in self.members if not isinstance(member, NgramClassifier)]
        if encoders:
            kind = next(kind for kind in kinds if kind != NGRAMS)
            layers = "+".join(str(config.num_hidden_layers) for config in encoders)
            heads, hidden = encoders[0].num_attention_heads, encoders[0].hidden_size
            words.append(f"{kind}, layers {layers}, hidden {hidden}, heads {heads}")
        words += [
            f"n-grams, {member.config.buckets} buckets"
            for member in self.members
            if isinstance(member, NgramClassifier)
        ]
        return " + ".join(words)

    def logits(self, token_ids: Sequence[Sequence[int]]) -> np.ndarray:
        """PyTorch's logits (sequences, members, labels), float32, each sequence run by itself, without padding."""
        rows = []
        with torch.inference_mode():
            for ids in token_ids:
                input_ids = torch.tensor([ids])
                rows.append(torch.stack([member(input_ids) for member in self.members], dim=1).numpy())
        return np.concatenate(rows)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """PyTorch's probabilities (texts, labels), float32, in batches of similar length; the cascade's, if any."""

        def token_ids(some: Sequence[str]) -> TokenIds:
            encodings = self.tokenizer.encode_batch_fast(list(map(well_formed, some)))
            return [np.array(encoding.ids) for encoding in encodings]

        run_all = partial(map, self._vote)
        return votes_in_batches(texts, token_ids, len(self.labels), _BATCH_TOKENS, run_all).probabilities

    def _vote(self, token_ids: TokenIds) -> Votes:
        input_ids, attention_mask = map(torch.from_numpy, pad(token_ids, self.pad_token_id))
        with torch.inference_mode():
            logits = [member(input_ids, attention_mask).numpy() for member in self.members]
        if self.cascade is None:
            return Votes(soft_vote(np.stack(logits, axis=1), self.weights))
        return vote_in_turn(self.cascade, len(token_ids), lambda member, rows: logits[member][rows], self.weights)


def load_source(folder: Path, max_length: int | None = None, layout: Layout | None = None) -> SourceModel:
    """Load a checkpoint or committee, to be cut to ``max_length`` tokens (as many as it has positions if ``None``).

    Its members are to be exported in ``layout``: a calibrated committee's as a cascade if ``None``, others' fused.

    Raises ``UserError`` if it is neither, if it can't be loaded, or if ``max_length`` or ``layout`` don't fit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not the folder of a checkpoint or committee")
    committee = is_committee(folder)
    loaded = load_committee(folder) if committee else None
    members: tuple[Member, ...] = (load_member(folder),) if loaded is None else loaded.members
    tokenizer = load_tokenizer(tokenizer_home(folder))
    smallest = min(member.config.vocab_size for member in members)
    # Vocabularies of some checkpoints have gaps: the largest id counts, not their size.
    tokens = max(tokenizer.get_vocab().values()) + 1
    if tokens > smallest:
        raise UserError(
            f"{folder}: the tokenizer has {tokens} tokens, the model only {smallest} embeddings: "
            "use the tokenizer that the model was trained with"
        )
    stored = read_cascade(folder) if committee and layout in ("cascade", None) else None
    layout = layout or ("fused" if stored is None else "cascade")
    if layout == "apart" and not committee:
        raise UserError(f"--layout apart: {folder} is no committee, it has one file")
    if layout == "cascade" and stored is None:
        raise UserError(f"--layout cascade: {folder} is not calibrated; see tlm-edge committee calibrate --help")
    positions = min(member.config.max_position_embeddings for member in members)
    if max_length is not None and max_length > positions:
        raise UserError(f"--max-length {max_length}: {folder} has {positions} positions; give at most that")
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if max_length is not None and max_length <= special:
        raise UserError(f"--max-length {max_length}: {special} of the tokens are special ones; give more than that")
    tokenizer.enable_truncation(max_length or positions)
    return SourceModel(
        folder=folder,
        members=members,
        labels=members[0].config.labels,
        tokenizer=tokenizer,
        max_length=max_length or positions,
        cls_token_id=_first_token(tokenizer, folder),
        is_committee=committee,
        layout=layout,
        cascade=None if stored is None else stored.cascade,
        weights=() if loaded is None else loaded.weights,
    )


def _first_token(tokenizer: Tokenizer, folder: Path) -> int:
    """The token that begins every text, whatever it says."""
    empty, other = tokenizer.encode("").ids, tokenizer.encode("a").ids
    if not empty or empty[0] != other[0]:
        raise UserError(f"{folder}: its tokenizer puts no [CLS] before a text; give it a post-processor that does")
    return int(empty[0])


def _digest(folder: Path) -> str:
    """SHA-256 over the weights, configurations and tokenizer, independent of where they lie."""
    folders = [folder, *(member_folders(folder) if is_committee(folder) else ())]
    digest = hashlib.sha256()
    for each in folders:
        for name in ("config.json", "committee.json", "tokenizer.json", "vocab.txt", *SLOW_FILES, WEIGHTS, DIFFERENCE):
            if (each / name).is_file():
                digest.update(f"{each.relative_to(folder).as_posix()}/{name} {sha256_file(each / name)}\n".encode())
    return digest.hexdigest()
