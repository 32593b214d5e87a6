"""Where commands show tables and progress: rich's console, which leaves it to ``outcome`` that a reader went away."""

from __future__ import annotations

from rich.console import Console


class Screen(Console):
    """A console that raises ``BrokenPipeError`` when its reader is gone; rich's own ends the program with status 1."""

    def on_broken_pipe(self) -> None:
        """Raise again what rich is handling when it calls this."""
        raise
