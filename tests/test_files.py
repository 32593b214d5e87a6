"""What is written is whole or not there, whoever is killed or refused while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tlm_edge.files import new_file, new_folder, scratch_folder
from tlm_edge.runtime.errors import UserError

#: Begins to write argv[1], and waits to be killed while it does; with "--retire" once the old one is out of the way.
WRITER = """
import os, sys, time
from pathlib import Path
from tlm_edge import files
path = Path(sys.argv[1])
def wait():
    print("waiting", flush=True)
    time.sleep(60)
if "--retire" in sys.argv:
    replace = os.replace
    def until_retired(source, target):
        replace(source, target)
        if ".old." in str(target):
            wait()
    os.replace = until_retired
make = files.new_file if path.suffix else files.new_folder
with make(path, force=True) as temporary:
    (temporary if path.suffix else temporary / "content").write_text("new")
    if "--retire" not in sys.argv:
        wait()
"""


def killed(path: Path, *options: str) -> None:
    """Kill a writer of ``path`` in the middle of it."""
    command = [sys.executable, "-c", WRITER, str(path), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGKILL)


def content_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_what_a_killed_writer_left_is_cleared_by_the_next(tmp_path, name):
    path = tmp_path / name
    others = {f".{name}.config", ".bundles.abcdefgh", f".{name}.old"}
    for other in others:
        (tmp_path / other).write_text("mine")
    killed(path)
    assert not path.exists()
    assert len(content_of(tmp_path) - others) == 1
    with (new_file if path.suffix else new_folder)(path) as temporary:
        (temporary if path.suffix else temporary / "content").write_text("whole")
    assert content_of(tmp_path) == {name, *others}


def test_a_writer_that_lives_is_left_alone(tmp_path):
    with new_folder(tmp_path / "bundle") as first:
        (first / "content").write_text("first")
        with new_folder(tmp_path / "bundle") as second, scratch_folder(tmp_path / "bundle") as scratch:
            assert len({first, second, scratch}) == 3
            assert (first / "content").exists()
        assert first.exists()
        assert not scratch.exists()
        (tmp_path / "bundle").rmdir()
    assert content_of(tmp_path) == {"bundle"}


def test_what_was_about_to_be_replaced_comes_back(tmp_path):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "content").write_text("precious")
    killed(path, "--retire")
    assert not path.exists()
    with pytest.raises(UserError, match="exists already"), new_folder(path):
        pass
    assert (path / "content").read_text() == "precious"
    assert content_of(tmp_path) == {"bundle"}
    with new_folder(path, force=True) as temporary:
        (temporary / "content").write_text("new")
    assert (path / "content").read_text() == "new"
    assert content_of(tmp_path) == {"bundle"}


def test_a_failure_leaves_the_old_one(tmp_path):
    for name, make in (("file.txt", new_file), ("folder", new_folder)):
        path = tmp_path / name
        with make(path, force=True) as temporary:
            (temporary if path.suffix else temporary / "content").write_text("old")
        with pytest.raises(OSError, match="enough"), make(path, force=True):
            raise OSError("enough")
        assert (path if path.suffix else path / "content").read_text() == "old"
    assert content_of(tmp_path) == {"file.txt", "folder"}


def test_others_may_read_what_the_umask_allows(tmp_path):
    previous = os.umask(0o027)
    try:
        with new_file(tmp_path / "file.txt"), new_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(previous)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for make in (new_file, new_folder):
        with pytest.raises(UserError, match="choose another --out"), make(tmp_path / "file" / "inside"):
            pass
        with pytest.raises(UserError, match="choose another --out"), make(Path("/proc/bundle")):
            pass
