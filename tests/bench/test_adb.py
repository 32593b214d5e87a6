"""Measuring over adb: Debian's arm64 adbd, run by qemu, plays the phone; its system is glibc's, not Android's."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.pretend_pi import make_board, require_arm64, way_in
from tlm_edge.bench.devices import Address, adb, local
from tlm_edge.bench.job import Job
from tlm_edge.bench.profiles import profile_of
from tlm_edge.bench.runner import make_runner
from tlm_edge.bench.texts import shipped_texts
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder

BUNDLE = models_folder() / "agnews-bert-1" / "onnx-int8"
TEXTS = shipped_texts().texts[:20]
SERIAL = "127.0.0.1:5555"
#: The first release of Debian whose adbd is an arm64 program; it leaves /bin and the like to base-files.
RELEASE, PACKAGES = "trixie", ("adbd", "base-files", "coreutils", "dash")


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A phone, and ``adb`` on the search path that reaches it; the folder of what adb was asked for."""
    client, qemu = shutil.which("adb"), shutil.which("qemu-aarch64-static")
    tools = {"adb": client, "qemu-aarch64-static": qemu, "nsenter": shutil.which("nsenter"), "ip": shutil.which("ip")}
    if absent := [name for name, path in tools.items() if path is None]:
        pytest.skip(f"no {', '.join(absent)} (make setup-emulation)")
    folder = tmp_path_factory.mktemp("phone") / "phone"
    (folder / "home").mkdir(parents=True)
    (folder / "bin").mkdir()
    cores = profile_of("pixel6").cores[1]
    root = _sysroot(cores)
    make_board(folder, cores, root, "Phone")
    (folder / "board/data/local/tmp").mkdir(parents=True)
    enter = way_in(folder, cores, str(qemu), root)
    require_arm64(enter)
    # adbd listens on every address: it and its client have a network of their own, with nothing but a loopback.
    network = ["unshare", "--user", "--map-root-user", "--net"]
    command = [*network, "sh", "-c", "ip link set lo up && echo up && exec sleep 1200"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    if holder.stdout.readline() != "up\n":
        pytest.skip("no network namespace can be made here")
    inside = f"nsenter -t {holder.pid} -U -n --preserve-credentials"
    shim = folder / "bin/adb"
    shim.write_text(
        f'#!/bin/sh\nexport HOME={folder}/home ANDROID_ADB_SERVER_PORT=5039\necho "$3" >> {folder}/asked\n'
        f'exec {inside} {client} "$@"\n'
    )
    shim.chmod(0o755)
    with (folder / "adbd.log").open("wb") as log:
        daemon = subprocess.Popen([*inside.split(), str(enter), "/usr/lib/android-sdk/platform-tools/adbd"], stderr=log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(shim.parent), prepend=os.pathsep)
        try:
            _connect(shim)
            yield folder
        finally:
            subprocess.run([str(shim), "kill-server"], capture_output=True)
            for process in (daemon, holder):
                process.kill()
                process.wait()


def _sysroot(cores) -> Path:
    from tlm_edge.bench.emulation import sysroot

    with pytest.MonkeyPatch.context() as patch:
        try:
            mirror, _ = sysroot._debian()
            patch.setenv(sysroot.DEBIAN_VARIABLE, f"{mirror} {RELEASE}")
            sysroot._debian.cache_clear()
            root = sysroot.sysroot(cores, PACKAGES)
            make_runner("aarch64", sysroot.python_of(root), ["onnx"])
            return root
        except UserError as error:
            pytest.skip(str(error))
        finally:
            patch.undo()
            sysroot._debian.cache_clear()


def _connect(client: Path) -> None:
    for _ in range(60):
        subprocess.run([str(client), "connect", SERIAL], capture_output=True)
        if any(device.serial == SERIAL and not device.fault for device in adb.attached()):
            return
        time.sleep(0.5)
    pytest.skip("adbd doesn't start here")


def test_a_phone_with_python_is_measured_like_a_board(phone):
    """Not what a phone on sale is: an arm64 Linux at the end of adb."""
    address = Address("phone", "adb", SERIAL)
    assert next(one for one in adb.listings([address]) if one.reachable).address == address
    asked = phone / "asked"
    expected = local.LocalDevice().work(Job("labels", str(BUNDLE), TEXTS, threads=1))["labels"]
    pushes = []
    for _ in range(2):
        asked.unlink()
        device = adb.open_device(address)
        place = device.place(open_bundle(BUNDLE))
        assert place.startswith("/data/local/tmp/tlm-edge/parts/")
        done = device.work(Job("labels", place, TEXTS, threads=1))
        assert done["machine"]["architecture"] == "aarch64"
        # int8 kernels differ between processors: a label may, where two are about as likely.
        assert sum(one != other for one, other in zip(done["labels"], expected, strict=True)) <= 1
        device.close()
        pushes.append(asked.read_text().split().count("push"))
    assert pushes[0] == 5, "our modules, three packages and the bundle"
    assert pushes[1] == 0


@pytest.fixture
def client(tmp_path, monkeypatch):
    """An adb that says what the test wants: there is no phone at hand in such a state."""

    def pretend(devices: str, shell: str = "exit 1") -> None:
        script = tmp_path / "adb"
        script.write_text(
            "#!/bin/sh\n"
            f"if [ \"$1\" = devices ]; then printf 'List of devices attached\\n{devices}\\n\\n'; exit 0; fi\n{shell}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return pretend


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("R58N           unauthorized usb:1-1 transport_id:1", "is not authorized: unlock it and accept"),
        ("R58N           offline usb:1-1 transport_id:1", "is offline: unplug it"),
        ("R58N           no permissions (user in plugdev group; are your udev rules wrong?)", "is not permitted"),
        ("R58N           recovery usb:1-1", "is in recovery mode"),
        ("R58N           strange usb:1-1", "is in the state 'strange'"),
        ("OTHER          device usb:1-1 model:Pixel_6", "is not attached"),
    ],
)
def test_a_phone_that_is_not_ready_is_told_with_what_to_do(client, listed, message):
    client(listed)
    with pytest.raises(UserError, match=rf"phone \(R58N\) {message}") as raised:
        adb.open_device(Address("phone", "adb", "R58N"))
    assert "\n" not in str(raised.value)


def test_attached_phones_are_listed_with_their_model(client):
    client("R58N  device usb:1-1 product:oriole model:Pixel_6 device:oriole transport_id:1\\n* daemon started")
    assert adb.attached() == [adb.Attached("R58N", "Pixel 6", "")]
    (listing,) = adb.listings([])
    assert (listing.address.at, listing.description) == ("R58N", "Pixel 6")


def test_a_phone_on_sale_has_no_python_and_it_is_said(client):
    client("R58N device model:Pixel_6", "echo tlm-edge-device Linux aarch64; echo none; cat >/dev/null")
    with pytest.raises(UserError, match="no python3, like every phone, and a native runner for Android can't be built"):
        adb.open_device(Address("phone", "adb", "R58N"))


def test_a_phone_that_goes_away_is_lost(client):
    client("R58N device model:Pixel_6", "echo \"error: device 'R58N' not found\" >&2; exit 1")
    with pytest.raises(UserError, match=r"phone \(R58N\) can't be reached: device 'R58N' not found"):
        adb.open_device(Address("phone", "adb", "R58N"))


def test_without_adb_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert adb.attached() == []
    with pytest.raises(UserError, match=r"needs adb: install Android's platform tools"):
        adb.open_device(Address("phone", "adb", "R58N"))


@pytest.mark.parametrize("serial", ["-e", "", "a b", "x;reboot"])
def test_a_serial_can_not_be_an_option_or_a_command(serial):
    with pytest.raises(UserError, match="is no adb serial"):
        adb.open_device(Address("phone", "adb", serial))
