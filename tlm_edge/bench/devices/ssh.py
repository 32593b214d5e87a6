"""Devices on the network, by the system's own OpenSSH: its agent, configuration and known hosts count.

One connection carries everything: the first command opens it and sftp shares it, through a socket in a private folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tlm_edge.bench.devices import Address, Listing
from tlm_edge.bench.devices.connection import Connection, LineError, State, describe
from tlm_edge.bench.devices.remote import RemoteDevice
from tlm_edge.runtime.errors import UserError

#: Where our files lie in the home of whoever logs in.
ROOT = "~/.cache/tlm-edge-device"
#: A host, user@host, or ssh://user@host:port, as ssh takes it; an option it can't be.
_DESTINATION = re.compile(r"[A-Za-z0-9_\[:][^\s'\"\\$`;|&<>(){}]*")

_OPTIONS = {
    "BatchMode": "no",
    "ClearAllForwardings": "yes",
    "ConnectTimeout": "10",
    "EscapeChar": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    # A line that is dead is known to be within half a minute.
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
}


def check_destination(destination: str) -> None:
    """Raise ``UserError`` unless ``destination`` has the form of what ssh takes."""
    if not _DESTINATION.fullmatch(destination):
        raise UserError(f"'{destination}' is no SSH destination: give a host, user@host, or ssh://user@host:port")


def open_device(address: Address) -> RemoteDevice:
    """Connect to the device. Raises ``UserError`` as ``RemoteDevice`` does."""
    check_destination(address.at)
    return RemoteDevice(address, lambda: SshLine(address.at))


def listings(stored: Sequence[Address]) -> list[Listing]:
    """The stored devices, each asked at once whether it answers without a password."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(_listing, stored))


def look(address: Address, *, ask: bool = True) -> State:
    """What the device tells of itself; nothing is left there. With ``ask`` ssh may ask for a password.

    Raises ``UserError`` if it can't be reached.
    """
    check_destination(address.at)
    try:
        line = SshLine(address.at, ask=ask)
        connection = Connection(line, address.name)
        try:
            return describe(connection, line.root)
        finally:
            connection.close()
    except LineError as reason:
        raise UserError(f"{address.name} ({address.at}) can't be reached: {reason}") from reason


def _listing(address: Address) -> Listing:
    try:
        state = look(address, ask=False)
    except UserError as error:
        return Listing(address, reachable=False, description=str(error))
    machine = state.machine
    return Listing(address, reachable=True, description=f"{machine.cpu}, {machine.cores} cores, {machine.system}")


class SshLine:
    """A line by ssh and sftp; see ``Line``."""

    root = ROOT
    without_python = "it has no python3: install it there (Debian: apt-get install python3)"

    def __init__(self, destination: str, *, ask: bool = True):
        """A line to ``destination``; nothing is connected yet. Raises ``UserError`` if there is no ssh."""
        self.words = destination
        programs = {name: shutil.which(name) for name in ("ssh", "sftp")}
        if absent := [name for name, path in programs.items() if path is None]:
            raise UserError(f"reaching {destination} needs {absent[0]}: install it (Debian: openssh-client)")
        self._ssh, self._sftp = str(programs["ssh"]), str(programs["sftp"])
        self._options = _OPTIONS if ask else _OPTIONS | {"BatchMode": "yes", "ConnectTimeout": "3"}
        # Not in TMPDIR, which may be too long: the path of a socket has at most 108 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="tlm-edge-ssh-", dir="/tmp")
        self._socket = Path(self._folder.name) / "socket"
        self._words = Path(self._folder.name) / "words"

    def run(self, command: str) -> subprocess.Popen[str]:
        """Connect and start ``command``; see ``Line``."""
        options = self._options | {"ControlMaster": "yes", "ControlPath": str(self._socket), "ControlPersist": "no"}
        with self._words.open("wb") as words:
            return subprocess.Popen(  # noqa: S603
                [self._ssh, "-T", *_as_arguments(options), "--", self.words, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1 << 16,
            )

    def send(self, folder: Path, name: str, to: str) -> None:
        """Copy a file over the connection that is there; see ``Line``."""
        options = {"ControlMaster": "no", "ControlPath": str(self._socket), "LogLevel": "ERROR", "BatchMode": "yes"}
        # The name is never looked up: the socket leads to the device, and without it nothing is to be reached.
        command = [self._sftp, "-q", "-S", self._ssh, *_as_arguments(options), "-b", "-", "--", "tlm-edge.invalid"]
        batch = f"cd {_quoted(to)}\nput {name}\n"
        done = subprocess.run(  # noqa: S603
            command, input=batch, capture_output=True, text=True, errors="replace", cwd=folder, check=False
        )
        if done.returncode:
            raise LineError(f"sftp can't write to {to}: {_last_words(done.stderr) or f'status {done.returncode}'}")

    def complaint(self) -> str:
        """What ssh said last, with what to do about the host's key, if it was that."""
        words = self._words.read_text("utf-8", errors="replace") if self._words.is_file() else ""
        host = self.words.rpartition("@")[2]
        if "IDENTIFICATION HAS CHANGED" in words:
            return (
                "its host key has changed, so it may be another machine: if you installed it anew, remove the old key "
                f"with ssh-keygen -R {host}"
            )
        if "Host key verification failed" in words:
            return f"its host key isn't known: connect once with ssh {self.words}, and compare the key it shows"
        return _last_words(words)

    def close(self) -> None:
        """Delete the socket's folder; the connection ends with its first command."""
        self._folder.cleanup()


def _as_arguments(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ssh: ").rstrip(".") if lines else ""
