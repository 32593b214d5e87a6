"""The module that is exported: one classifier, or a committee with its vote, rewritten or as written."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tlm_edge.compile.rewrite import AS_WRITTEN, FIXED_QUERY, ROW_QUERY, RewrittenClassifier, rewrite
from tlm_edge.modeling.encoder import gather_rows
from tlm_edge.modeling.foreign import ForeignClassifier
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.modeling.members import Member
from tlm_edge.modeling.ngrams import NgramClassifier

#: In place of what was rewritten: the layers are not BERT's, transformers computes them.
FOREIGN = "transformers"


class AsWritten(nn.Module):
    """A classifier as BERT is published: every row of every layer is computed, then the rows to read are picked."""

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (batch, labels) of ``input_ids`` and ``attention_mask``, both (batch, length)."""
        hidden = self.model.encoder(input_ids, attention_mask)
        read = gather_rows(hidden, self.model.readout_rows(input_ids)).flatten(1)
        return self.model.classifier(self.model.readout_activation(self.model.pooler(read)))


class CommitteeGraph(nn.Module):
    """The members side by side, a branch each, and their vote, weighted if ``weights`` are given."""

    shares: Tensor | None

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float] = ()) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.weights = tuple(weights)
        self.register_buffer("shares", torch.tensor(self.weights)[:, None] if weights else None)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (batch, labels), the mean of the members' softmax, and logits (batch, members, labels)."""
        logits = torch.stack([member(input_ids, attention_mask) for member in self.members], dim=1)
        votes = logits.softmax(dim=-1)
        return votes.mean(dim=1) if self.shares is None else (votes * self.shares).sum(dim=1), logits


def deployable(
    members: Sequence[Member], cls_token_id: int, *, rewritten: bool = True, weights: Sequence[float] = ()
) -> nn.Module:
    """The module to export, in evaluation mode: ``logits`` of one member, probabilities and logits of several.

    ``weights`` are those of the members' votes, equal if there are none.
    """
    branches = [_branch(member, cls_token_id, rewritten) for member in members]
    return branches[0].eval() if len(branches) == 1 else CommitteeGraph(branches, weights).eval()


def _branch(member: Member, cls_token_id: int, rewritten: bool) -> nn.Module:
    if isinstance(member, ForeignClassifier | NgramClassifier):
        return copy.deepcopy(member)
    return rewrite(member, cls_token_id) if rewritten else AsWritten(member)


def rewrite_kind(graph: nn.Module) -> str:
    """What was rewritten in a module of ``deployable``: ``fixed-query``, ``row-query``, both, or ``none``.

    ``transformers`` where nothing was because transformers computes the layers.
    """
    if any(isinstance(module, ForeignClassifier) for module in graph.modules()):
        return FOREIGN
    kinds = {module.kind for module in graph.modules() if isinstance(module, RewrittenClassifier)}
    return "+".join(kind for kind in (FIXED_QUERY, ROW_QUERY) if kind in kinds) or AS_WRITTEN
