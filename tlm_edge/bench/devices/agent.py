"""What runs on a device for as long as it is connected: it tells what the device is, keeps files, and runs the worker.

Python's standard library and ``machine.py`` only. Both come over the connection and stay in memory; nothing is written
before the lock of the device is held. A request is a line of JSON on standard input, an answer one on standard output.
When standard input ends, the other side is gone: the worker is stopped, and so is this.

In the folder ``root`` on the device, ``parts`` holds what measurements need (a runner's folders, bundles), each under a
name that tells its content, so that nothing is sent twice; ``incoming`` what is on its way; ``runs`` the jobs of this
session with what the worker wrote.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import queue
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import IO, Any

from tlm_edge.bench.machine import describe_machine, read_conditions

#: Seconds without a request after which the other side counts as gone, and seconds to wait for a lock of our own.
_IDLE = 3600
_PATIENCE = 10
#: Parts that no session has used for so many days are deleted.
_KEPT_DAYS = 30


class _RefusedError(Exception):
    """The answer is an error: a word for the program, a sentence for the user."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Agent:
    """Answers requests; ``close`` undoes whatever a session shouldn't leave behind."""

    def __init__(self) -> None:
        self._root = Path()
        self._lock: IO[str] | None = None
        self._run: Path | None = None
        self._jobs = 0
        self._worker: subprocess.Popen[bytes] | None = None

    def describe(self, root: str) -> dict[str, Any]:
        """The machine, its state, and room for files under ``root``; nothing is written."""
        self._root = Path(root).expanduser()
        nearest = next(folder for folder in (self._root, *self._root.parents) if folder.is_dir())
        return {
            "root": str(self._root),
            "machine": dataclasses.asdict(describe_machine()),
            "conditions": dataclasses.asdict(read_conditions()),
            "pointer_bits": 8 * struct.calcsize("P"),
            "libc": platform.libc_ver(),
            "free_bytes": shutil.disk_usage(nearest).free,
            "writable": os.access(nearest, os.W_OK),
            "memory_limit_bytes": _memory_limit(),
        }

    def begin(self, session: str, owner: str) -> dict[str, Any]:
        """Take the device for a session; what killed sessions left is cleared away.

        A predecessor of the same session, whose connection broke, gives way. Raises ``_RefusedError`` if another
        session holds the device.
        """
        for folder in ("parts", "incoming", "runs"):
            (self._root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self._root / "lock").open("a+", encoding="utf-8")
        deadline = time.monotonic() + _PATIENCE
        while not _try_lock(lock):
            lock.seek(0)
            held = _json_or_empty(lock.read())
            if held.get("session") != session or time.monotonic() > deadline:
                owner, since = held.get("owner", "another session"), held.get("since", "a moment ago")
                raise _RefusedError("busy", f"in use by {owner} since {since}: wait until that benchmark is done")
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(held["pid"], signal.SIGTERM)
            time.sleep(0.2)
        since = time.strftime("%H:%M:%S")
        lock.truncate(0)
        lock.write(json.dumps({"session": session, "owner": owner, "since": since, "pid": os.getpid()}))
        lock.flush()
        self._lock = lock
        for leftover in [*(self._root / "incoming").iterdir(), *(self._root / "parts").glob(".*")]:
            _delete(leftover)
        self._run = self._root / "runs" / session
        for old in (self._root / "runs").iterdir():
            if old != self._run and not (old / "keep").exists():
                _delete(old)
        self._run.mkdir(exist_ok=True, mode=0o700)
        for part in (self._root / "parts").iterdir():
            if time.time() - part.stat().st_mtime > 86400 * _KEPT_DAYS:
                _delete(part)
        return {}

    def lacking(self, parts: dict[str, dict[str, str]]) -> dict[str, Any]:
        """Which of ``parts`` (name → file → SHA-256) aren't here whole; what is damaged is deleted."""
        lacking = []
        for name, files in parts.items():
            folder = self._part(name)
            if folder.is_dir() and all(_sha256(folder / file) == digest for file, digest in files.items()):
                os.utime(folder)
            else:
                _delete(folder)
                lacking.append(name)
        return {"lacking": lacking, "free_bytes": shutil.disk_usage(self._root).free}

    def unpack(self, part: str, archive: str, sha256: str, files: dict[str, str]) -> dict[str, Any]:
        """Make ``part`` of the zip ``archive`` in ``incoming``; both must have the hashes of what was sent."""
        source = self._root / "incoming" / Path(archive).name
        place = self._part(part)
        making = place.with_name(f".{place.name}")
        try:
            if _sha256(source) != sha256:
                raise _RefusedError("corrupt", f"{part} arrived altered")
            with zipfile.ZipFile(source) as opened:
                if set(opened.namelist()) != set(files):
                    raise _RefusedError("corrupt", f"{part} holds other files than were sent")
                for name, digest in files.items():
                    target = making / name
                    if not target.resolve().is_relative_to(making.resolve()):
                        raise _RefusedError("corrupt", f"the name {name!r} leads out of {part}")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(name) as stream, target.open("wb") as sink:
                        shutil.copyfileobj(stream, sink, 1 << 20)
                    if _sha256(target) != digest:
                        raise _RefusedError("corrupt", f"{name} of {part} arrived altered")
            making.replace(place)
        finally:
            _delete(making)
            _delete(source)
        return {}

    def work(self, parts: list[str], job: dict[str, Any]) -> dict[str, Any]:
        """Run the worker on ``job`` with the folders of ``parts`` as its search path; its status and what it wrote."""
        assert self._run is not None  # noqa: S101 - begin comes first
        self._jobs += 1
        folder = self._run / f"{self._jobs:04d}"
        folder.mkdir(mode=0o700)
        paths = os.pathsep.join(str(self._part(name)) for name in parts)
        # What a runtime leaves in a home folder, it leaves with the job.
        homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TLM_EDGE_CACHE"), str(folder))
        variables = {"PYTHONPATH": paths, "PYTHONNOUSERSITE": "1", "TOKENIZERS_PARALLELISM": "false", **homes}
        command = [sys.executable, "-P", "-m", "tlm_edge.bench.worker", str(folder / "job.json")]
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        told = {"command": command, "variables": variables}
        (folder / "command.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
        with (folder / "outcome.json").open("wb") as output, (folder / "errors.txt").open("wb") as errors:
            # The worker holds the lock too: should this process be killed, nobody measures beside its worker.
            self._worker = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=folder,
                env={**os.environ, **variables},
                start_new_session=True,
                pass_fds=[self._lock.fileno()] if self._lock else [],
            )
        with contextlib.suppress(OSError):  # where memory runs out, the worker goes first and this can tell
            Path(f"/proc/{self._worker.pid}/oom_score_adj").write_text("900")
        status = self._worker.wait()
        self._worker = None
        said = (folder / "errors.txt").read_bytes()[-4000:].decode(errors="replace")
        return {"status": status, "output": (folder / "outcome.json").read_text("utf-8"), "errors": said}

    def keep(self) -> dict[str, Any]:
        """Leave this session's jobs and what the worker wrote on the device."""
        if self._run is not None:
            (self._run / "keep").touch()
        return {"folder": str(self._run)}

    def clear(self) -> dict[str, Any]:
        """Delete everything that sessions have left on the device."""
        for folder in ("parts", "incoming", "runs"):
            _delete(self._root / folder)
        self._run = None
        return {}

    def close(self) -> None:
        """Stop the worker, delete this session's jobs, unless they are kept, and give the device back."""
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._worker.pid, signal.SIGKILL)
            self._worker.wait()
        if self._run is not None and not (self._run / "keep").exists():
            _delete(self._run)
        if self._lock is not None:
            self._lock.close()

    def _part(self, name: str) -> Path:
        """Where a part lies: its name is one of a file in ``parts``."""
        if not name or name.startswith(".") or "/" in name:
            raise _RefusedError("corrupt", f"{name!r} is no name of a part")
        return self._root / "parts" / name


def serve() -> None:
    """Answer requests until standard input ends."""
    agent = Agent()
    requests: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(*_: object) -> None:
        raise SystemExit

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            request = json.loads(requests.get(timeout=_IDLE))
            sys.stdout.write(json.dumps(_answer(agent, request.pop("do"), request)) + "\n")
            sys.stdout.flush()
    except (queue.Empty, BrokenPipeError):
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        agent.close()
        # Whoever hung up no longer reads; closing standard output in the usual way would complain.
        os._exit(0)


def _answer(agent: Agent, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(agent, verb)(**arguments)
    except _RefusedError as refusal:
        return {"kind": refusal.kind, "error": str(refusal)}
    except OSError as error:
        return {"kind": "system", "error": f"{error.strerror or error} ({error.filename or verb})"}
    except zipfile.BadZipFile as error:
        return {"kind": "corrupt", "error": str(error)}
    return answer


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _memory_limit() -> int | None:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _json_or_empty(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
