"""The ways to reach a device. A new one is a module beside this and one line in ``TRANSPORTS``.

A transport's module offers ``listings(stored) -> list[Listing]``, what it can reach now, the ``stored`` addresses of
its own among them, and ``open_device(address) -> Device``, which raises ``UserError`` where it can't be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from tlm_edge.bench.job import Job
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError

#: transport → its module.
TRANSPORTS: dict[str, str] = {
    "local": "tlm_edge.bench.devices.local",
    "emulated": "tlm_edge.bench.devices.emulated",
    "ssh": "tlm_edge.bench.devices.ssh",
    "adb": "tlm_edge.bench.devices.adb",
}


@dataclass(frozen=True)
class Address:
    """Where a device is: its name as records tell it, the transport that reaches it, and what that calls it.

    ``at`` is an SSH destination or an adb serial, empty where the transport needs neither; ``profile`` is the name or
    the file of what kind of device it is (see ``bench.profiles``), if that is known.
    """

    name: str
    transport: str = "local"
    at: str = ""
    profile: str | None = None


#: The machine this runs on.
LOCAL = Address("local")


@dataclass(frozen=True)
class Listing:
    """A device that could be benchmarked on: where it is, whether it can be reached now, and what is known of it."""

    address: Address
    reachable: bool
    description: str


class DeviceLostError(UserError):
    """The way to a device broke while it was at work and can't be had again: nothing says that its bundle is at fault.

    A benchmark stops here, keeps what it has, and can be resumed.
    """


class Device(Protocol):
    """An opened device."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def transport(self) -> str:
        """How it is reached."""

    def place(self, bundle: Bundle) -> str:
        """Bring the bundle onto the device, unless it is there; its path there."""

    def work(self, job: Job) -> dict[str, Any]:
        """Run the worker in a fresh process on the device; its outcome, a JSON object.

        Raises ``UserError`` if the worker reports one, ends without an outcome, or can't be started, and
        ``DeviceLostError`` if the device can't be reached any more.
        """

    def keep(self) -> None:
        """Leave on the device what ``close`` would delete, for whoever wants to look into it."""

    def close(self) -> None:
        """Leave the device as it was, but for what a later benchmark need not bring again."""


def list_devices(stored: Sequence[Address] = ()) -> list[Listing]:
    """Every device that any transport knows, the ``stored`` ones among them, in the order of the registry."""
    found: list[Listing] = []
    for transport, module in TRANSPORTS.items():
        own = [address for address in stored if address.transport == transport]
        found += import_module(module).listings(own)
    return found


def open_device(address: Address) -> Device:
    """The device at ``address``. Raises ``UserError`` if it can't be reached."""
    if address.transport not in TRANSPORTS:
        raise UserError(
            f"{address.name} is reached by '{address.transport}': this tlm-edge has {', '.join(TRANSPORTS)}"
        )
    device: Device = import_module(TRANSPORTS[address.transport]).open_device(address)
    return device
