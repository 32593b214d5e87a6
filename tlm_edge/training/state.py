"""The state of a run in progress: one safetensors file, replaced atomically, that a resumed run starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tlm_edge.files import new_file
from tlm_edge.runtime.errors import UserError

STATE = "state.safetensors"


def save_state(
    folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], counters: Mapping[str, Any]
) -> None:
    """Write model, optimisers, random state and ``counters`` (plain JSON values) to ``folder/state.safetensors``."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{parameter}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors["random.torch"] = torch.get_rng_state()
    stored = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with new_file(folder / STATE) as temporary:
        save_file(stored, temporary, metadata={"counters": json.dumps(dict(counters))})


def load_state(folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any] | None:
    """Restore what ``save_state`` wrote; return its counters, or None if there is no state.

    Raises ``UserError`` if the file is damaged or belongs to a model of another shape.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            counters: dict[str, Any] = json.loads((stream.metadata() or {})["counters"])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a mapping)
        model.load_state_dict(_below("model.", tensors))
    except (SafetensorError, OSError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} does not fit this run ({reason}): delete it to start afresh") from error
    for index, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(f"optimizer.{index}.", tensors).items():
            parameter, key = name.split(".", 1)
            states.setdefault(int(parameter), {})[key] = tensor
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.torch"])
    return counters


def stored_step(folder: Path) -> int:
    """The step at which the state in ``folder`` was saved, 0 if there is none or it can't be read."""
    try:
        with safe_open(folder / STATE, framework="pt") as stream:
            return int(json.loads((stream.metadata() or {})["counters"])["step"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return 0


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
