"""Measuring over SSH, on an sshd on loopback that plays a device of this machine's kind; the faults are real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from tests.bench.loopback import HOST, Loopback, loopback
from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench.bench import Settings, begin, resume
from tlm_edge.bench.devices import Address, local, remote
from tlm_edge.bench.devices.remote import RemoteDevice
from tlm_edge.bench.devices.ssh import look, open_device
from tlm_edge.bench.inputs import Input
from tlm_edge.bench.job import Job
from tlm_edge.bench.plan import JOURNAL_FILE
from tlm_edge.bench.record import read_records
from tlm_edge.bench.runner import make_runner
from tlm_edge.bench.texts import shipped_texts
from tlm_edge.cli import app
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder

BUNDLE = models_folder() / "agnews-bert-1" / "onnx-int8"
ADDRESS = Address("box", "ssh", HOST)
TEXTS = shipped_texts().texts[:20]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine not in ("x86_64", "aarch64"), reason="plays a 64-bit Linux device"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose home already holds the runner."""
    try:
        make_runner(os.uname().machine, sys.version_info[:2], ["onnx"])
    except UserError as error:
        pytest.skip(str(error))
    with loopback(tmp_path_factory.mktemp("ssh") / "device") as running:
        device = open_device(ADDRESS)
        device.place(open_bundle(BUNDLE))
        device.close()
        yield running


@pytest.fixture
def pi(server):
    """The server, with nothing broken and nothing asked yet."""
    for name in ("faults.sh", "after.sh", "asked"):
        (server.folder / name).unlink(missing_ok=True)
    return server


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(remote, "RETRY_SECONDS", (0.1, 0.3, 0.6))


@pytest.fixture
def inputs():
    return [Input(BUNDLE, open_bundle(BUNDLE), None)]


def parts(pi: Loopback) -> Path:
    return pi.home / ".cache/tlm-edge-device/parts"


def forget_bundle(pi: Loopback) -> None:
    for part in parts(pi).glob("agnews*"):
        shutil.rmtree(part)


def labels_on(device: RemoteDevice) -> list[int]:
    place = device.place(open_bundle(BUNDLE))
    return device.work(Job("labels", place, TEXTS, threads=1))["labels"]


def expected_labels() -> list[int]:
    return local.LocalDevice().work(Job("labels", str(BUNDLE), TEXTS, threads=1))["labels"]


def silent(what, done, steps):
    assert 0 <= done < steps


def test_from_adding_a_device_to_its_table(pi, tmp_path, monkeypatch, test_profile):
    monkeypatch.setenv("TLM_EDGE_CONFIG", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    assert "tlm-edge devices check box" in run("devices", "add", "box", "--host", HOST)
    listed = json.loads(run("devices", "--json"))["devices"]
    (box,) = [one for one in listed if one["address"]["name"] == "box"]
    assert box["reachable"]
    assert not any((pi.home / ".cache/tlm-edge-device/runs").iterdir())
    checked = run("devices", "check", "box")
    assert os.uname().machine in checked
    assert "onnxruntime 1." in checked
    output = run("bench", str(BUNDLE), "--device", "box", "--profile", "test", "--out", "records")
    assert "agnews-bert-1" in output
    (record,) = read_records([Path("records")])
    assert (record.device.name, record.device.transport) == ("box", "ssh")
    assert record.session.command.endswith("--device box --profile test --threads 1")
    assert {figure.provenance for figure in record.figures.values() if figure.value is not None} == {"measured"}
    assert record.figures["agreement"].value == 1.0
    assert "Removed box" in run("devices", "remove", "box")


def test_a_second_run_sends_nothing_and_leaves_nothing_but_the_cache(pi):
    device = open_device(ADDRESS)
    assert labels_on(device) == expected_labels()
    device.close()
    assert pi.asked() == ["command"], "everything was there already"
    root = parts(pi).parent
    assert not any((root / "incoming").iterdir())
    assert not any((root / "runs").iterdir())
    # sshd takes a moment to take note that a connection's process has ended.
    _, alive = psutil.wait_procs(psutil.Process(pi.process.pid).children(recursive=True), timeout=10)
    assert not alive
    open_device(ADDRESS).close()


def test_kept_jobs_can_be_run_again_by_hand(pi):
    device = open_device(ADDRESS)
    device.keep()
    labels = labels_on(device)
    device.close()
    (run,) = (parts(pi).parent / "runs").iterdir()
    told = json.loads((run / "0001" / "command.json").read_text())
    again = subprocess.run(told["command"], env=os.environ | told["variables"], capture_output=True, check=True)
    assert json.loads(again.stdout)["labels"] == labels
    shutil.rmtree(run)


def test_what_was_damaged_on_the_device_is_sent_again(pi):
    (model,) = parts(pi).glob("agnews*/model.onnx")
    with model.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"a worn-out card")
    device = open_device(ADDRESS)
    assert labels_on(device) == expected_labels()
    device.close()
    assert pi.asked() == ["command", "sftp"]


def test_a_transfer_that_arrives_altered_is_repeated_once(pi):
    forget_bundle(pi)
    once = "[ $what = sftp ] && [ ! -f $FOLDER/done ] && touch $FOLDER/done"
    pi.after(f'if {once}; then printf x | dd of="$(ls $HOME/.cache/*/incoming/*)" bs=1 seek=99 conv=notrunc; fi 2>&1')
    device = open_device(ADDRESS)
    assert labels_on(device) == expected_labels()
    device.close()
    assert pi.asked() == ["command", "sftp", "sftp"]


def test_a_line_that_alters_everything_is_named(pi):
    forget_bundle(pi)
    pi.after('if [ $what = sftp ]; then echo x >> "$(ls $HOME/.cache/*/incoming/*)"; fi')
    device = open_device(ADDRESS)
    with pytest.raises(UserError, match=r"box \(pretend-pi\): agnews-bert-1\S+ arrived altered$"):
        device.place(open_bundle(BUNDLE))
    device.close()
    assert not list(parts(pi).glob("*agnews*"))


def test_a_connection_dropped_while_sending_is_taken_up_again(pi, impatient):
    forget_bundle(pi)
    pi.fault("[ $what = sftp ] && [ ! -f $FOLDER/dropped ] && touch $FOLDER/dropped && kill -9 $PPID")
    device = open_device(ADDRESS)
    assert labels_on(device) == expected_labels()
    device.close()
    assert pi.asked() == ["command", "sftp", "command", "sftp"]


def test_a_connection_dropped_at_work_costs_one_turn(pi, inputs, tmp_path, test_profile, impatient):
    runs = parts(pi).parent / "runs"

    def pull_the_cable() -> None:
        while not list(runs.glob("*/0003/outcome.json")):
            time.sleep(0.01)
        pi.drop()

    thread = threading.Thread(target=pull_the_cable, daemon=True)
    thread.start()
    result = begin(inputs, Settings((ADDRESS,), "test"), tmp_path / "out", command="x", progress=silent)
    thread.join(timeout=60)
    assert not result.faults
    assert [len(record.blocks) for record in result.records] == [TEST_PROFILE.rounds]
    assert pi.asked().count("command") == 2


def test_a_device_that_stays_away_keeps_what_is_done_for_a_resume(pi, inputs, tmp_path, test_profile, impatient):
    out = tmp_path / "out"

    def unplug(what: str, done: int, steps: int) -> None:
        if what.startswith("round 3"):
            pi.drop()
            pi.stop()

    try:
        result = begin(inputs, Settings((ADDRESS,), "test"), out, command="x", progress=unplug)
    finally:
        pi.start()
    assert not result.records
    assert "the connection to box (pretend-pi) was lost" in result.faults["box"]
    assert f"--resume --out {out}" in result.faults["box"]
    kept = [json.loads(line) for line in (out / JOURNAL_FILE).read_text().splitlines()]
    before = [line["outcome"]["model_us"] for line in kept if line["kind"] == "block"]
    assert len(before) == 2

    result = resume(out, silent)
    (record,) = result.records
    assert [list(block.model_us) for block in record.blocks[:2]] == before
    assert len(record.blocks) == TEST_PROFILE.rounds


def test_two_benchmarks_on_one_device_take_turns(pi):
    first = open_device(ADDRESS)
    with pytest.raises(UserError, match=r"box \(pretend-pi\) is in use by \S+@\S+ since [\d:]+: wait") as raised:
        open_device(ADDRESS)
    assert "\n" not in str(raised.value)
    first.close()
    open_device(ADDRESS).close()


def test_a_half_dead_connection_gives_way_to_its_successor(pi):
    device = open_device(ADDRESS)
    forgotten = device._connection
    device._connection = device._again()
    assert labels_on(device) == expected_labels()
    device.close()
    forgotten.close()


def test_a_worker_that_runs_out_of_memory_is_told(pi):
    device = open_device(ADDRESS)
    place = device.place(open_bundle(BUNDLE))

    def kill_worker() -> None:
        for _ in range(2000):
            for process in psutil.Process(pi.process.pid).children(recursive=True):
                if "tlm_edge.bench.worker" in process.cmdline():
                    process.kill()
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=kill_worker, daemon=True)
    thread.start()
    with pytest.raises(UserError, match=r"was ended by SIGKILL \(out of memory\?\)"):
        device.work(Job("latency", place, TEXTS, threads=1, inferences=10**6, seconds=60))
    thread.join()
    assert device.work(Job("labels", place, TEXTS, threads=1))["labels"] == expected_labels()
    device.close()


def test_too_little_memory_is_said_before_anything_is_sent(pi):
    forget_bundle(pi)
    pi.fault("ulimit -v 98304")
    device = open_device(ADDRESS)
    with pytest.raises(UserError, match=r"has 101 MB of memory to spare, and \S+ needs about \d+ MB"):
        device.place(open_bundle(BUNDLE))
    device.close()
    assert pi.asked() == ["command"]


@pytest.fixture
def small_disk(pi):
    """Four megabytes for the device's files."""
    cache = pi.home / ".cache"
    cache.rename(pi.home / ".large")
    cache.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(cache)], capture_output=True)
    if mounted.returncode:
        cache.rmdir()
        (pi.home / ".large").rename(cache)
        pytest.skip("mounting a small disk needs root")
    yield cache
    subprocess.run(["umount", str(cache)], check=True)
    cache.rmdir()
    (pi.home / ".large").rename(cache)


def test_too_little_disk_is_said_before_anything_is_sent(pi, small_disk):
    device = open_device(ADDRESS)
    with pytest.raises(UserError, match=r"has 4 MB free in \S+, and \d+ MB are needed: make room"):
        device.place(open_bundle(BUNDLE))
    device.close()
    assert pi.asked() == ["command"]


def test_a_disk_that_fills_up_is_named(pi, small_disk, monkeypatch):
    monkeypatch.setattr(remote, "_SPARE_DISK", -(10**9))
    device = open_device(ADDRESS)
    with pytest.raises(UserError, match=r"box \(pretend-pi\): sftp can't write to .*\(0 MB are free there\)") as raised:
        device.place(open_bundle(BUNDLE))
    assert "\n" not in str(raised.value)
    device.close()


@pytest.mark.parametrize(
    ("program", "script", "message"),
    [
        ("uname", "case $1 in -m) echo armv7l;; *) echo Linux;; esac", r"has a 32-bit system \(armv7l\)"),
        ("uname", "case $1 in -m) echo riscv64;; *) echo Linux;; esac", r"is riscv64; the runtimes have packages for"),
        ("uname", "case $1 in -m) echo arm64;; *) echo Darwin;; esac", r"runs Darwin: only Linux"),
        ("python3", "echo 3 9", r"has Python 3\.9, and 3\.11 or later is needed"),
    ],
)
def test_what_can_not_be_measured_is_told_in_one_line(pi, program, script, message):
    # A program that answers as such a machine's would: there is none at hand.
    folder = pi.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    (folder / program).write_text(f"#!/bin/sh\n{script}\n")
    (folder / program).chmod(0o755)
    pi.fault(f"PATH={folder}:$PATH")
    with pytest.raises(UserError, match=rf"box \(pretend-pi\) {message}") as raised:
        open_device(ADDRESS)
    assert "\n" not in str(raised.value)
    assert "sftp" not in pi.asked()
    shutil.rmtree(folder)


def test_a_device_without_python_is_told(pi):
    tools = pi.folder / "few"
    tools.mkdir()
    for name in ("sh", "uname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    pi.fault(f"PATH={tools}")
    with pytest.raises(UserError, match="has no python3: install it there"):
        open_device(ADDRESS)


def test_a_profile_of_another_architecture_is_refused(pi):
    if os.uname().machine == "aarch64":
        pytest.skip("this machine has the profile's architecture")
    with pytest.raises(UserError, match=r"is x86_64, and a Raspberry Pi 4 Model B is aarch64"):
        open_device(Address("rpi4", "ssh", HOST, "rpi4"))
    assert "sftp" not in pi.asked()


def test_what_a_login_script_prints_is_passed_over(pi):
    pi.fault("[ $what = command ] && echo 'Welcome!' && echo '3 11'")
    assert look(ADDRESS).machine.architecture == os.uname().machine


def test_a_changed_host_key_is_not_accepted(pi):
    known = (pi.folder / "known_hosts").read_text()
    try:
        pi.renew_host_key()
        with pytest.raises(UserError, match=r"can't be reached: its host key has changed.*ssh-keygen -R pretend-pi"):
            open_device(ADDRESS)
        (pi.folder / "known_hosts").write_text("")
        with pytest.raises(UserError, match="its host key isn't known: connect once with ssh pretend-pi"):
            look(ADDRESS, ask=False)
        assert pi.asked() == []
    finally:
        key = (pi.folder / "host_key.pub").read_text().split()
        (pi.folder / "known_hosts").write_text(f"{known.split()[0]} {key[0]} {key[1]}\n")


def test_a_device_that_is_switched_off_is_told(pi):
    pi.stop()
    try:
        with pytest.raises(UserError, match=r"box \(pretend-pi\) can't be reached: .*Connection refused"):
            open_device(ADDRESS)
    finally:
        pi.start()


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a b", "pi@host;reboot", "$(reboot)", ""])
def test_a_destination_can_not_be_an_option_or_a_command(host):
    with pytest.raises(UserError, match="is no SSH destination"):
        open_device(Address("box", "ssh", host))


def test_clearing_leaves_nothing(pi):
    device = open_device(ADDRESS)
    kept = parts(pi).with_name("aside")
    parts(pi).rename(kept)
    device.clear()
    device.close()
    assert sorted(path.name for path in parts(pi).parent.iterdir()) == ["aside", "lock"]
    kept.rename(parts(pi))
