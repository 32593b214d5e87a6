"""Devices that adb reaches, by the system's own client: phones, and boards whose adbd runs on an ordinary Linux.

A phone has no Python for the runtimes to run in. What has one is measured as over SSH, in ``/data/local/tmp``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.bench.devices import Address, Listing
from tlm_edge.bench.devices.connection import Connection, LineError, State, describe
from tlm_edge.bench.devices.remote import RemoteDevice
from tlm_edge.runtime.errors import UserError

#: The folder that adb's shell may write to on every phone.
ROOT = "/data/local/tmp/tlm-edge"
_SERIAL = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:%\[\]-]*")
_WITHOUT_PYTHON = (
    "it has no python3, like every phone, and a native runner for Android can't be built without Google's NDK: measure "
    "in the app, with tlm-edge android install and tlm-edge android bench"
)

#: What adb calls the state of a device that it can't talk to → what that is and what to do.
_FAULTS = {
    "unauthorized": "not authorized: unlock it and accept this computer's key in the dialog that it shows",
    "authorizing": "being authorized: accept this computer's key in the dialog that it shows",
    "offline": "offline: unplug it and plug it in again, or run adb reconnect",
    "no permissions": "not permitted to this user: add yourself to the group plugdev and plug it in again",
    "bootloader": "in its boot loader: start it in the usual way",
    "recovery": "in recovery mode: start it in the usual way",
    "sideload": "in sideload mode: start it in the usual way",
}


@dataclass(frozen=True)
class Attached:
    """A device that ``adb devices`` lists; ``fault`` says why it can't be used and what to do, empty if it can."""

    serial: str
    model: str
    fault: str


def attached() -> list[Attached]:
    """What ``adb devices`` lists; nothing where there is no adb, or it doesn't answer."""
    program = shutil.which("adb")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603
            [program, "devices", "-l"], capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in done.stdout.splitlines():
        parts = re.match(r"(\S+)\s+(no permissions|\S+)(.*)", line)
        if parts is None or line.startswith(("List of", "*")):
            continue
        serial, state, rest = parts.groups()
        model = re.search(r"\bmodel:(\S+)", rest)
        fault = "" if state == "device" else _FAULTS.get(state, f"in the state '{state}'")
        found.append(Attached(serial, model[1].replace("_", " ") if model else "", fault))
    return found


def listings(stored: Sequence[Address]) -> list[Listing]:
    """The stored devices, and attached ones that aren't stored."""
    present = {device.serial: device for device in attached()}
    known = [address for address in stored if address.at]
    others = [serial for serial in present if serial not in {address.at for address in known}]
    return [_listing(address, present.get(address.at)) for address in known] + [
        _listing(Address(serial, "adb", serial), present[serial]) for serial in others
    ]


def open_device(address: Address) -> RemoteDevice:
    """Connect to the device. Raises ``UserError`` as ``RemoteDevice`` does, and where adb can't use it."""
    _require_ready(address)
    return RemoteDevice(address, lambda: AdbLine(address.at))


def look(address: Address) -> State:
    """What the device tells of itself; nothing is left there. Raises ``UserError`` if it can't be reached."""
    _require_ready(address)
    try:
        line = AdbLine(address.at)
        connection = Connection(line, address.name)
        try:
            return describe(connection, line.root)
        finally:
            connection.close()
    except LineError as reason:
        raise UserError(f"{address.name} ({address.at}) can't be reached: {reason}") from reason


def has_python(serial: str) -> bool:
    """Whether the device has a python3, as no phone on sale does. Raises ``UserError`` if it isn't ready."""
    _require_ready(Address(serial, "adb", serial))
    command = [str(shutil.which("adb")), "-s", serial, "shell", "command -v python3"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
    return done.returncode == 0


def check_serial(serial: str) -> None:
    """Raise ``UserError`` unless ``serial`` has the form of an adb serial."""
    if not _SERIAL.fullmatch(serial):
        raise UserError(f"'{serial}' is no adb serial: adb devices shows them")


def _require_ready(address: Address) -> None:
    check_serial(address.at)
    if shutil.which("adb") is None:
        raise UserError(f"reaching {address.name} needs adb: install Android's platform tools (Debian: adb)")
    listing = _listing(address, next((device for device in attached() if device.serial == address.at), None))
    if not listing.reachable:
        raise UserError(f"{address.name} ({address.at}) is {listing.description}")


def _listing(address: Address, device: Attached | None) -> Listing:
    if device is None:
        return Listing(address, reachable=False, description="not attached: adb devices doesn't list it")
    return Listing(address, reachable=not device.fault, description=device.fault or device.model or "attached")


class AdbLine:
    """A line by ``adb shell`` and ``adb push``; see ``Line``."""

    root = ROOT
    without_python = _WITHOUT_PYTHON

    def __init__(self, serial: str):
        """A line to the device; nothing is connected yet. Raises ``UserError`` if there is no adb."""
        self.words = serial
        program = shutil.which("adb")
        if program is None:
            raise UserError(f"reaching {serial} needs adb: install Android's platform tools (Debian: adb)")
        self._adb = [program, "-s", serial]
        self._folder = tempfile.TemporaryDirectory(prefix="tlm-edge-adb-")
        self._words = Path(self._folder.name) / "words"

    def run(self, command: str) -> subprocess.Popen[str]:
        """Start ``command`` in the device's shell; see ``Line``."""
        with self._words.open("wb") as words:
            return subprocess.Popen(  # noqa: S603
                [*self._adb, "shell", "-T", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1 << 16,
            )

    def send(self, folder: Path, name: str, to: str) -> None:
        """Push a file; see ``Line``."""
        command = [*self._adb, "push", str(folder / name), f"{to}/{name}"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise LineError(f"adb can't write to {to}: {said[-1] if said else f'status {done.returncode}'}")

    def complaint(self) -> str:
        """What adb said last."""
        lines = self._words.read_text("utf-8", errors="replace").split("\n") if self._words.is_file() else []
        said = [line.strip() for line in lines if line.strip()]
        return said[-1].removeprefix("error: ") if said else ""

    def close(self) -> None:
        """Delete what adb said."""
        self._folder.cleanup()
