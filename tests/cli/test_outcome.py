"""Exit statuses and the one line on stderr that goes with them, in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A command line with commands that end in every way.
PROGRAM = """
import sys, time, typer
from tlm_edge.cli.outcome import run
from tlm_edge.runtime.errors import UserError
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
@app.command()
def fine(): print("done")
@app.command()
def mistake(): raise UserError("row 3 of x.csv has no label:\\n  give it one")
@app.command()
def fault(): raise ValueError("lost count")
@app.command()
def quits(): raise typer.Exit(2)
@app.command()
def talk():
    for number in range(200_000): print("line", number)
@app.command()
def wait():
    print("waiting", flush=True)
    time.sleep(60)
@app.command()
def read(path: str): open(path).read()
@app.command()
def pipe():
    import subprocess
    child = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    child.wait()
    child.stdin.write(b"x" * 100_000)
    child.stdin.flush()
sys.exit(run(app))
"""


def ending(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def tlm_edge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tlm_edge", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_done_is_0_and_silent_on_stderr() -> None:
    process = ending("fine", stdout=subprocess.PIPE)
    assert (process.returncode, process.stdout, process.stderr) == (0, "done\n", "")


def test_a_mistake_is_2_and_one_line() -> None:
    process = ending("mistake")
    assert process.returncode == 2
    assert process.stderr == "error: row 3 of x.csv has no label: give it one\n"


def test_a_fault_is_1_and_one_line_that_tells_how_to_report_it() -> None:
    process = ending("fault")
    assert process.returncode == 1
    assert process.stderr.startswith("error: ValueError: lost count; ")
    assert "TLM_EDGE_DEBUG=1" in process.stderr
    assert process.stderr.count("\n") == 1


def test_debugging_shows_the_traceback_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLM_EDGE_DEBUG", "1")
    process = ending("fault")
    assert process.returncode == 1
    assert "Traceback" in process.stderr
    assert "in fault" in process.stderr


def test_a_command_s_own_status_is_kept() -> None:
    assert ending("quits").returncode == 2


def test_an_interrupt_is_130_and_silent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ""


def test_a_reader_that_leaves_ends_the_program_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "talk"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == ""


def test_a_reader_that_leaves_a_table_ends_the_program_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tlm_edge", "devices"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == ""


def test_a_broken_pipe_elsewhere_is_a_fault() -> None:
    process = ending("pipe", stdout=subprocess.PIPE)
    assert process.returncode == 1
    assert process.stderr.startswith("error: BrokenPipeError")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_for_the_user_to_repair() -> None:
    with Path("/dev/full").open("w") as full:
        process = ending("talk", stdout=full)
    assert process.returncode == 2
    assert process.stderr.splitlines()[0] == (
        "error: No space left on device: free some space, or choose another place to write"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exprot"], "error: No such command 'exprot'"),
        (["predict"], "error: Missing argument 'MODEL'; see tlm-edge predict --help"),
        (["predict", "--loud"], "error: No such option: --loud"),
        (["bench", "--threads", "many"], "error: Invalid value for '--threads'"),
        (["predict", "nowhere", "a text"], "error: no model 'nowhere'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_2(arguments: list[str], message: str) -> None:
    process = tlm_edge(*arguments)
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith(message)
    assert process.stderr.count("\n") == 1


def test_a_group_without_its_command_shows_the_help() -> None:
    for arguments in ([], ["tokenizer"]):
        process = tlm_edge(*arguments)
        assert process.returncode == 0
        assert "Usage: tlm-edge" in process.stdout
