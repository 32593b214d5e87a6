"""Driving a phone through ``adb``, Android's debug bridge."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.runtime.errors import UserError

#: Where the shell may write on every phone.
SCRATCH = "/data/local/tmp"
_REMEDIES = {
    "unauthorized": "allow USB debugging in the dialog on its screen",
    "offline": "unplug it and plug it in again",
    "no permissions": "add a udev rule for it, or run `adb kill-server` and start adb as another user",
}


@dataclass(frozen=True)
class Phone:
    """One phone, by its serial number."""

    adb: str
    serial: str

    def run(self, *words: str | Path) -> bytes:
        """Run an adb command on this phone and give its output. Raises ``UserError`` with adb's own words."""
        done = subprocess.run(  # noqa: S603
            [self.adb, "-s", self.serial, *(str(word) for word in words)], capture_output=True, check=False
        )
        if done.returncode:
            raise UserError(f"adb {words[0]} failed on {self.serial}: {_last_line(done.stderr or done.stdout)}")
        return done.stdout

    def shell(self, *words: str) -> str:
        """Run a program on the phone and give what it printed.

        adb joins the words to one line for the phone's shell, so each is quoted. Raises ``UserError`` if it fails.
        """
        return self.run("shell", shlex.join(words)).decode("utf-8", "replace")

    def read(self, *words: str) -> bytes:
        """The output of a program on the phone, byte by byte. Raises ``UserError`` if it fails."""
        return self.run("exec-out", shlex.join(words))

    def stream(self, *words: str) -> Iterator[str]:
        """The lines that a program on the phone prints, as they come. Raises ``UserError`` if adb loses the phone."""
        command = [self.adb, "-s", self.serial, "shell", shlex.join(words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603
            last = ""
            for line in process.stdout or ():
                last = line.strip() or last
                yield line.rstrip("\r\n")
        if process.returncode:
            raise UserError(f"adb lost {self.serial}: {last or 'it said nothing'}")


def find_phone(serial: str | None = None, adb: str | None = None) -> Phone:
    """The phone with that serial number, or the only one there is.

    Raises ``UserError`` if adb isn't installed, there is no such phone, more than one, or it isn't ready.
    """
    program = adb or shutil.which("adb")
    if program is None:
        raise UserError("adb is not installed: install Android's platform tools (Debian: apt-get install adb)")
    done = subprocess.run([program, "devices"], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UserError(f"adb devices failed: {_last_line(done.stderr.encode())}")
    found = dict(line.split(None, 1) for line in done.stdout.splitlines()[1:] if len(line.split(None, 1)) == 2)
    if serial is None:
        if len(found) != 1:
            which = f"name one of {', '.join(found)} with --serial" if found else "plug it in and allow USB debugging"
            raise UserError(f"adb sees {len(found)} phones: {which}")
        (serial,) = found
    if serial not in found:
        raise UserError(f"adb sees no phone {serial}: it sees {', '.join(found) or 'none'}")
    state = found[serial].split(";")[0].strip()
    if state != "device":
        remedy = next((words for name, words in _REMEDIES.items() if state.startswith(name)), "see `adb devices`")
        raise UserError(f"{serial} is {state}: {remedy}")
    return Phone(program, serial)


def install(phone: Phone, apk: Path) -> None:
    """Install the app, over an older one if need be. Raises ``UserError`` if there is no file or Android refuses it."""
    if not apk.is_file():
        raise UserError(f"no app at {apk}: build it with `tlm-edge android build`")
    try:
        answer = phone.run("install", "-r", apk).decode("utf-8", "replace")
    except UserError as error:
        if "INSTALL_FAILED_UPDATE_INCOMPATIBLE" in str(error):
            raise UserError(
                "the app on the phone was signed with another machine's key: remove it there, then install again"
            ) from error
        raise
    if "Success" not in answer:
        raise UserError(f"Android refused the app: {_last_line(answer.encode())}")


def _last_line(output: bytes) -> str:
    lines: Sequence[str] = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
