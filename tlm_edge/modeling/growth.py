"""Growing a deep encoder from a trained shallow one, so that depth starts from what the shallow one knows."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch

from tlm_edge.modeling.encoder import Layer
from tlm_edge.modeling.heads import MaskedLanguageModel
from tlm_edge.runtime.errors import UserError


@torch.no_grad()
def grow_from(deep: MaskedLanguageModel, shallow: MaskedLanguageModel) -> None:
    """Copy ``shallow`` into ``deep``, in place, so that both compute nearly the same function.

    The trained layers become the last ones. The layers below them copy the first trained layer, but add nothing at
    first: their output matrices are zero and their norms repeat the embedding's, so that they pass their input on
    (function-preserving growth, after Net2Net, arXiv 1511.05641, and stacking, Gong et al., ICML 2019).

    Raises ``UserError`` unless the two differ in depth only, ``deep`` being the deeper.
    """
    depth, trained = deep.config.num_hidden_layers, shallow.config.num_hidden_layers
    if replace(shallow.config, num_hidden_layers=depth, labels=()) != replace(deep.config, labels=()):
        raise UserError("a model can only grow in depth: every other size must be that of the checkpoint it grows from")
    if depth < trained:
        raise UserError(f"a model of {depth} layers can't grow from one of {trained}: choose a deeper architecture")
    new = depth - trained
    deep.encoder.embeddings.load_state_dict(shallow.encoder.embeddings.state_dict())
    deep.transform.load_state_dict(shallow.transform.state_dict())
    deep.transform_norm.load_state_dict(shallow.transform_norm.state_dict())
    deep.decoder_bias.copy_(shallow.decoder_bias)
    layers = [cast(Layer, layer) for layer in deep.encoder.layers]
    for index, layer in enumerate(layers):
        layer.load_state_dict(shallow.encoder.layers[max(0, index - new)].state_dict())
        if index < new:
            for silent in (layer.output, layer.down):
                silent.weight.zero_()
                silent.bias.zero_()
            for norm in (layer.output_norm, layer.down_norm):
                norm.load_state_dict(shallow.encoder.embeddings.norm.state_dict())
