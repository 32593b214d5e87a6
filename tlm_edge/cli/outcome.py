"""How a command ends: its exit status, and one line on stderr when something went wrong.

0 done; 2 the user's mistake; 1 a fault of ours; 130 interrupted; 141 the reader of our output went away.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from typing import Any

import typer

from tlm_edge.runtime.errors import UserError

#: Set to anything, it shows the traceback of every error.
DEBUG_VARIABLE = "TLM_EDGE_DEBUG"
INTERRUPTED = 130
OUTPUT_CLOSED = 141

#: What Typer raises on a wrong command line. Newer versions carry their own copy of click, so it is found by name.
_UsageProblem: type[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

#: The operating system's refusals that the user can lift.
_REMEDIES = {
    errno.ENOSPC: "free some space, or choose another place to write",
    errno.EDQUOT: "free some space, or choose another place to write",
    errno.EFBIG: "raise the limit (ulimit -f), or choose another place to write",
    errno.EROFS: "choose another place to write",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
}


def run(app: typer.Typer) -> int:
    """Run ``app`` on the process's arguments and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = app(prog_name="tlm-edge", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return _explain(error)
    return status if isinstance(status, int) else 0


def _explain(error: BaseException) -> int:
    """Print the line that ``error`` deserves, or nothing, and return the exit status."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        error = error.__context__  # Typer turns a closed pipe into an exit of its own
    if os.environ.get(DEBUG_VARIABLE) and not isinstance(error, SystemExit):
        import traceback

        traceback.print_exception(error)
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED
        case UserError():
            return _fail(2, str(error))
        case _UsageProblem():
            return _explain_usage(error)
        case BrokenPipeError() if _reader_is_gone():
            # Python flushes once more when it ends, and would complain then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OUTPUT_CLOSED
        case OSError(errno=number) if number in _REMEDIES:
            where = f"{error.filename}: " if error.filename else ""
            return _fail(2, f"{where}{error.strerror}: {_REMEDIES[number]}")
        case _:
            return _fail(
                1,
                f"{type(error).__name__}: {error}; this is a fault of tlm-edge, not yours: "
                f"run the command again with {DEBUG_VARIABLE}=1 for the traceback and report it",
            )


def _explain_usage(error: Any) -> int:
    """A wrong command line in one line; a command that lacks its subcommand shows the help instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.ctx.get_help())
        return 0
    command = error.ctx.command_path if getattr(error, "ctx", None) else "tlm-edge"
    return _fail(2, f"{error.format_message().rstrip('.')}; see {command} --help")


def _fail(status: int, message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _reader_is_gone() -> bool:
    """Whether the other end of our standard output is closed (and not some other pipe of the program's)."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return True
