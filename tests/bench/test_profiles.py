from __future__ import annotations

import pytest

from tlm_edge.bench.profiles import profile_names, profile_of
from tlm_edge.runtime.errors import UserError

BOARD = """
title = "A board"
transport = "ssh"
memory_gbps = 3.5

[[cores]]
type = "Cortex-A55"
count = 4
mhz = 2000
l1d_kib = 32
l2_kib = 256
implementer = 0x41
part = 0xd05
features = ["fp", "asimd"]
qemu = "cortex-a55"
mca = "cortex-a55"
"""


def test_the_devices_of_the_help_have_profiles():
    assert {"rpi3", "rpi4", "rpi5", "pixel6", "pixel8", "galaxy-s23", "android"} <= set(profile_names())
    rpi4 = profile_of("rpi4")
    assert (rpi4.cores[0].type, rpi4.cores[0].qemu, rpi4.cores[0].mhz) == ("Cortex-A72", "cortex-a72", 1800)
    assert all(reference.source for name in profile_names() for reference in profile_of(name).references)


def test_no_profile_wants_the_cpu_that_no_device_has():
    assert not [name for name in profile_names() for cores in profile_of(name).cores if cores.qemu == "max"]


def test_the_fastest_cores_come_first():
    for name in profile_names():
        clocks = [cores.mhz for cores in profile_of(name).cores]
        assert clocks == sorted(clocks, reverse=True), name


def test_a_file_describes_another_board(tmp_path):
    (tmp_path / "my-board.toml").write_text(BOARD)
    profile = profile_of(str(tmp_path / "my-board.toml"))
    assert (profile.name, profile.memory_gbps, profile.cores[0].part) == ("my-board", 3.5, 0xD05)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count = 4", "count = 0", r"cores\[0\]\.count: more than 0"),
        ("count = 4", 'count = "four"', r"cores\[0\]\.count: an integer expected"),
        ("mhz = 2000", "", r"cores\[0\]\.mhz: missing"),
        ("mhz = 2000", "ghz = 2", r"cores\[0\]\.ghz: not a known key"),
        ('transport = "ssh"', 'transport = "usb"', "transport: 'ssh' or 'adb' expected"),
        ("memory_gbps = 3.5", "", "memory_gbps: missing"),
        ('qemu = "cortex-a55"', 'qemu = "max"', "no CPU that exists"),
        ('qemu = "cortex-a55"', 'qemu = "a55 -plugin x"', "no name of a CPU"),
        ('["fp", "asimd"]', '["fp\\nprocessor : 9"]', "not as in /proc/cpuinfo"),
        ('title = "A board"', "title =", "is not TOML"),
        ('title = "A board"', 'name = "other"\ntitle = "A board"', "name: not a known key"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_place(tmp_path, old, new, words):
    path = tmp_path / "my-board.toml"
    path.write_text(BOARD.replace(old, new))
    with pytest.raises(UserError, match=words) as caught:
        profile_of(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_device_is_told_what_there_is(tmp_path):
    with pytest.raises(UserError, match=r"no device profile 'rpi9': choose rpi3, rpi4"):
        profile_of("rpi9")
    with pytest.raises(UserError, match="no profile file"):
        profile_of(str(tmp_path / "nothing.toml"))
    (tmp_path / "My Board.toml").write_text(BOARD)
    with pytest.raises(UserError, match="rename it"):
        profile_of(str(tmp_path / "My Board.toml"))
