"""The sweep over all benchmarks: every script is in it with its own options, and what is finished isn't run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def sweep(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import run_all

    return run_all


def test_every_script_is_run(sweep):
    scripts = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert {command.split()[0] for command in sweep.COMMANDS} == scripts - {"run_all.py"}


def test_what_is_finished_is_not_run_again(sweep, tmp_path, capfd):
    (tmp_path / "good.py").write_text("import sys\nprint('measured', sys.argv[1:])\n")
    (tmp_path / "bad.py").write_text("import sys\nprint('tried')\nsys.exit(1)\n")
    commands = ("good.py --rounds 3", "bad.py")
    assert sweep.run_all(commands, tmp_path, tmp_path / "kept") == ["bad.py"]
    assert "measured ['--rounds', '3']" in capfd.readouterr().out
    assert sweep.run_all(commands, tmp_path, tmp_path / "kept") == ["bad.py"]
    told = capfd.readouterr().out
    assert "1 of 2 are finished" in told
    assert "tried" in told
    assert "measured" not in told


def test_bundles_are_kept_where_a_script_can(sweep, tmp_path, capfd):
    (tmp_path / "exports.py").write_text("import sys\n# takes --work\nprint(sys.argv[1:])\n")
    sweep.run_all(["exports.py"], tmp_path, tmp_path / "kept")
    assert str(["--work", str(tmp_path / "kept" / "exports.py")]) in capfd.readouterr().out


def test_an_unknown_name():
    command = [sys.executable, str(FOLDER / "run_all.py"), "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no benchmark's name begins with nothing" in done.stderr
