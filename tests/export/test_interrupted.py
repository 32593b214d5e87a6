"""An export that can't be written, or is killed, leaves nothing that could be taken for a bundle."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tlm_edge.export.export import export_model
from tlm_edge.runtime.errors import UserError

#: Exports argv[1] as argv[2] and waits to be killed when everything but the gate is done.
WAITING = """
import sys, time
from pathlib import Path
from tlm_edge.export import export
def measure(*arguments):
    print("waiting", flush=True)
    time.sleep(120)
export.measure = measure
export.export_model(sys.argv[1], precision="fp32", out=Path(sys.argv[2]), force=True)
"""


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_killed_export(tiny_checkpoint, tmp_path, name):
    """Nothing stands under the final name, what stood there still does, and the next export clears up."""
    out = tmp_path / name
    if name == "bundle":
        out.mkdir()
        (out / "mine").write_text("precious")
    command = [sys.executable, "-c", WAITING, str(tiny_checkpoint), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.glob(f".{name}.*"))) == (1 if name == "bundle" else 2)
    if name == "bundle":
        assert [path.name for path in out.iterdir()] == ["mine"]
    else:
        assert not out.exists()
    bundle = export_model(tiny_checkpoint, precision="fp32", out=out, force=True)
    assert bundle.manifest.parity is not None
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("options", [[], ["--zip"]], ids=["folder", "zip"])
def test_no_room(tiny_checkpoint, tmp_path, options):
    """As on a full disk, but by a limit on the size of files, which every system has."""
    command = [sys.executable, "-m", "tlm_edge", "export", str(tiny_checkpoint), "--out", "out", *options]
    limit = (tiny_checkpoint / "tokenizer.json").stat().st_size // 2

    def no_larger_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, preexec_fn=no_larger_files
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: File too large: raise the limit (ulimit -f), or choose another place to write\n"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tiny_checkpoint, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "bundle", Path("/proc/bundle")):
        with pytest.raises(UserError, match="choose another --out"):
            export_model(tiny_checkpoint, precision="fp32", out=out)
    assert (tmp_path / "file").read_text() == "mine"
