"""An sshd on loopback that plays a device: own keys, own configuration, an ephemeral port, stopped by its own id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

#: Name of the pretended device in the client's configuration, and so its destination.
HOST = "pretend-pi"

#: What whoever logs in gets. ``faults.sh`` may break things before; ``$what`` says what is asked for.
_LOGIN = """#!/bin/sh
export HOME={home} PATH={path} FOLDER={folder}
cd "$HOME" || exit 90
case "$SSH_ORIGINAL_COMMAND" in *sftp*) what=sftp ;; *) what=command ;; esac
echo "$what" >> {folder}/asked
if [ -f {folder}/faults.sh ]; then . {folder}/faults.sh; fi
if [ $what = sftp ]; then {shell} /usr/lib/openssh/sftp-server; else {shell} sh -c "$SSH_ORIGINAL_COMMAND"; fi
status=$?
if [ -f {folder}/after.sh ]; then . {folder}/after.sh; fi
exit $status
"""

_SERVER = """ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
ForceCommand {folder}/login.sh
"""

_CLIENT = """Host {host}
  HostName 127.0.0.1
  Port {port}
  IdentityFile {folder}/client_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile none
"""


@dataclass
class Loopback:
    """A running server. Scripts may break things: ``fault`` before a command of its client's, ``after`` behind it."""

    folder: Path
    home: Path
    port: int
    process: subprocess.Popen[bytes]

    def fault(self, script: str) -> None:
        (self.folder / "faults.sh").write_text(script)

    def after(self, script: str) -> None:
        (self.folder / "after.sh").write_text(script)

    def asked(self) -> list[str]:
        """What clients asked for so far: ``command`` for every connection, ``sftp`` for every file sent."""
        log = self.folder / "asked"
        return log.read_text().split() if log.is_file() else []

    def drop(self) -> None:
        """Cut every connection, as a cable pulled or a board restarted would."""
        for child in psutil.Process(self.process.pid).children():
            child.kill()

    def renew_host_key(self) -> None:
        """Give the server another host key."""
        self.stop()
        for file in self.folder.glob("host_key*"):
            file.unlink()
        _keygen(self.folder / "host_key")
        self.process = _start(self.folder, self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)

    def start(self) -> None:
        self.process = _start(self.folder, self.port)


@contextmanager
def loopback(folder: Path, shell: Sequence[str] = ()) -> Iterator[Loopback]:
    """A server whose commands run in ``shell``, and a ``ssh`` on the search path that finds it as ``HOST``."""
    server = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if server is None or not Path("/usr/lib/openssh/sftp-server").exists():
        pytest.skip("no sshd: install openssh-server (make setup-emulation)")
    if shutil.which("ssh") is None:
        pytest.skip("no ssh: install openssh-client")
    folder.mkdir(parents=True)
    home = folder / "home"
    home.mkdir()
    for name in ("host_key", "client_key"):
        _keygen(folder / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin"
    words = {"folder": folder, "home": home, "port": port, "host": HOST, "path": path, "shell": " ".join(shell)}
    (folder / "sshd_config").write_text(_SERVER.format_map(words))
    (folder / "ssh_config").write_text(_CLIENT.format_map(words))
    public = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (folder / "login.sh").write_text(_LOGIN.format_map(words))
    (folder / "login.sh").chmod(0o755)
    (folder / "bin").mkdir()
    client = folder / "bin" / "ssh"
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    client.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd drops its privileges, empty
    running = Loopback(folder, home, port, _start(folder, port))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}/bin", prepend=os.pathsep)
        try:
            yield running
        finally:
            running.stop()


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    server = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    with (folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen([str(server), "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.skip(f"sshd doesn't start here: {(folder / 'sshd.log').read_text().strip().splitlines()[-1:]}")


def _keygen(file: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)], check=True)
