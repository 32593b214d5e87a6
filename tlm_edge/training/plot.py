"""The picture of a run: its losses over the tokens, drawn from its log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot_run(records: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw the training loss, and the validation loss and accuracy where they were measured, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses = figure.add_subplot()
    steps = [record for record in records if record["event"] == "steps"]
    losses.plot([record["step"] for record in steps], [record["loss"] for record in steps], label="training loss")
    measured = [record for record in records if record.get("validation_loss") is not None]
    if measured:
        places = [record["step"] for record in measured]
        losses.plot(places, [record["validation_loss"] for record in measured], "o-", label="validation loss")
    losses.set(xlabel="optimiser step", ylabel="loss in nats", title=title)
    handles, names = losses.get_legend_handles_labels()
    scored = [record for record in measured if "accuracy" in record]
    if scored:
        accuracy = losses.twinx()
        places = [record["step"] for record in scored]
        accuracy.plot(places, [record["accuracy"] for record in scored], "s--", color="tab:green", label="accuracy")
        accuracy.set_ylabel("validation accuracy")
        more = accuracy.get_legend_handles_labels()
        handles, names = handles + more[0], names + more[1]
    losses.legend(handles, names)
    losses.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
