"""The host's side, against a stand-in for adb and the phone (``pretend_adb.py``): nothing here ran on a phone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tlm_edge.bench.record import SCHEMA_FILE, read_records
from tlm_edge.shipped import evaluation_texts, models_folder

BUNDLE = models_folder() / "agnews-bert-1/onnx-int8"


def tlm_edge(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tlm_edge", *map(str, words)], capture_output=True, text=True)


class PretendPhone:
    """The folder that plays the phone, and the ``adb`` on the path that leads there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder / "phone"
        self.folder.mkdir()
        program = folder / "bin/adb"
        program.parent.mkdir()
        script = Path(__file__).with_name("pretend_adb.py")
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {self.folder} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        self.tell()

    def tell(self, **facts: object) -> None:
        (self.folder / "phone.json").write_text(json.dumps({"devices": {"R58N": "device"}} | facts))

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendPhone:
    monkeypatch.chdir(tmp_path)
    return PretendPhone(tmp_path, monkeypatch)


@pytest.fixture
def with_app(phone: PretendPhone) -> PretendPhone:
    (phone.folder / "app.apk").write_bytes(b"")
    return phone


def test_a_record_comes_home(with_app: PretendPhone, desktop: list[Path], tmp_path: Path) -> None:
    with_app.tell(classpath=":".join(map(str, desktop)), texts=str(evaluation_texts("agnews")))
    done = tlm_edge("android", "bench", BUNDLE, "--out", tmp_path / "out", "--profile", "rapid")
    assert done.returncode == 0, done.stderr
    (record,) = read_records([tmp_path / "out"])
    assert record.device.transport == "android"
    assert record.bundle.source == "agnews-bert-1"
    assert record.session.command.startswith(f"tlm-edge android bench {BUNDLE}")
    (file,) = (tmp_path / "out").glob("*.json")
    jsonschema.validate(json.loads(file.read_text("utf-8")), json.loads(SCHEMA_FILE.read_text("utf-8")))
    assert not list((with_app.folder / "data/local/tmp").iterdir()), "what was pushed is taken away again"
    assert not (with_app.folder / "data/user/0/org.tlmedge.demo/files/bench").exists()


def test_from_one_command_to_the_report(with_app: PretendPhone, desktop: list[Path], tmp_path: Path) -> None:
    with_app.tell(classpath=":".join(map(str, desktop)), texts=str(evaluation_texts("agnews")))
    out, report = tmp_path / "out", tmp_path / "report"
    done = tlm_edge("bench", "--device", "android", "agnews-bert-1", "agnews-committee", "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"tlm-edge report {out}" in done.stdout
    records = read_records([out])
    assert {record.bundle.source for record in records} == {"agnews-bert-1", "agnews-committee"}
    assert {record.device.transport for record in records} == {"android"}
    assert records[0].session.command.startswith("tlm-edge bench agnews-bert-1 agnews-committee --device android")
    for file in out.glob("*.json"):
        jsonschema.validate(json.loads(file.read_text("utf-8")), json.loads(SCHEMA_FILE.read_text("utf-8")))
    told = tlm_edge("report", out, "--out", report)
    assert told.returncode == 0, told.stderr
    page = (report / "index.html").read_text("utf-8")
    assert "agnews-committee" in page and "android" in page


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"devices": {}}, "adb sees 0 phones: plug it in"),
        ({"devices": {"A": "device", "B": "device"}}, "name one of A, B with --serial"),
        ({"devices": {"A": "unauthorized"}}, "allow USB debugging"),
        ({"dies": True}, "ended before it was done (Process crashed.)"),
        ({"garbles": True}, "is not JSON"),
    ],
)
def test_faults_of_the_phone_are_explained(
    with_app: PretendPhone, facts: dict[str, object], words: str, tmp_path: Path
) -> None:
    with_app.tell(**facts)
    done = tlm_edge("android", "bench", BUNDLE, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_phone_without_the_app_is_explained(phone: PretendPhone, tmp_path: Path) -> None:
    done = tlm_edge("android", "bench", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "install it with `tlm-edge android install`" in done.stderr


def test_installing(phone: PretendPhone, tmp_path: Path) -> None:
    assert "build it with `tlm-edge android build`" in tlm_edge("android", "install").stderr
    apk = tmp_path / "an app.apk"
    apk.write_bytes(b"content")
    done = tlm_edge("android", "install", "--apk", apk)
    assert done.returncode == 0, done.stderr
    assert (phone.folder / "app.apk").read_bytes() == b"content"
    phone.tell(install="INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures do not match")
    assert "another machine's key" in tlm_edge("android", "install", "--apk", apk).stderr


def test_words_for_the_phone_s_shell_are_quoted(with_app: PretendPhone, tmp_path: Path) -> None:
    with_app.tell(dies=True)
    folder = tmp_path / "a b; rm -rf $HOME"
    folder.symlink_to(BUNDLE)
    tlm_edge("android", "bench", folder, "--out", tmp_path / "out")
    (line,) = [line for line in with_app.log.splitlines() if "am instrument" in line]
    assert "rm -rf $HOME" in line
    (sent,) = [word for word in shlex.split(line) if word.startswith("am instrument")]
    words = shlex.split(sent)
    assert str(folder) in words[words.index("command") + 1]
