"""The ways to reach a device. A new one is a module beside this and one line in ``TRANSPORTS``.

A transport's module offers ``devices() -> list[Listing]``, what it could reach now, and ``open_device(name) ->
Device``, which raises ``UserError`` where that device can't be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from tlm_edge.bench.job import Job
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError

#: transport → its module.
TRANSPORTS: dict[str, str] = {
    "local": "tlm_edge.bench.devices.local",
}


@dataclass(frozen=True)
class Listing:
    """A device that could be benchmarked on: its name, how it is reached, and what is known of it."""

    name: str
    transport: str
    description: str


class Device(Protocol):
    """An opened device."""

    @property
    def name(self) -> str:
        """What ``--device`` calls it."""

    @property
    def transport(self) -> str:
        """How it is reached."""

    def place(self, bundle: Bundle) -> str:
        """Bring the bundle onto the device, unless it is there; its path there."""

    def work(self, job: Job) -> dict[str, Any]:
        """Run the worker in a fresh process on the device; its outcome, a JSON object.

        Raises ``UserError`` if the worker reports one, ends without an outcome, or can't be started.
        """

    def close(self) -> None:
        """Leave the device as it was."""


def list_devices() -> list[Listing]:
    """Every device that any transport knows, in the order of the registry."""
    return [listing for module in TRANSPORTS.values() for listing in import_module(module).devices()]


def open_device(name: str) -> Device:
    """The device called ``name``. Raises ``UserError`` if there is none or it can't be reached."""
    known = list_devices()
    for listing in known:
        if listing.name == name:
            device: Device = import_module(TRANSPORTS[listing.transport]).open_device(name)
            return device
    names = ", ".join(listing.name for listing in known)
    raise UserError(f"no device '{name}': `tlm-edge devices` lists those there are ({names})")
