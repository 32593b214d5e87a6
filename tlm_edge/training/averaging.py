"""The running mean of a model's weights: steadier than those of any one step, and better on texts not learned from.

Polyak and Juditsky (1992) average the steps of stochastic gradients; Izmailov et al. (*Averaging weights leads to wider
optima*, arXiv 1803.05407) show what that gives to the classifiers of neural networks.
"""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tlm_edge.modeling.heads import SequenceClassifier


class RunningMean:
    """A model in training, beside it the exponential mean of its weights over about the last ``steps`` steps.

    Of one step or less the mean is the model itself.
    """

    def __init__(self, model: SequenceClassifier, steps: float) -> None:
        self._model = model
        self._mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / steps)) if steps > 1 else None

    @property
    def model(self) -> SequenceClassifier:
        """The model whose weights are the mean."""
        return self._model if self._mean is None else cast(SequenceClassifier, self._mean.module)

    @property
    def state(self) -> nn.Module:
        """Everything that a resumed run needs: both models, and how many steps the mean has seen."""
        return self._model if self._mean is None else nn.ModuleDict({"model": self._model, "mean": self._mean})

    def update(self) -> None:
        """Take the weights of another step into the mean."""
        if self._mean is not None:
            self._mean.update_parameters(self._model)
