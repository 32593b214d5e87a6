from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tlm_edge.bench.machine import (
    busy_seconds,
    describe_machine,
    peak_resident_mb,
    read_conditions,
    resident_mb,
    usable_cores,
)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_this_machine_is_described():
    machine = describe_machine()
    assert machine.cpu
    assert 1 <= machine.usable_cores <= machine.cores
    assert machine.python == ".".join(str(part) for part in sys.version_info[:3])


def test_a_raspberry_pi_is_read_from_its_files(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n",
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/meminfo": "MemTotal:        3884292 kB\nMemAvailable:    3000000 kB\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1800000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1800000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
            "sys/class/thermal/thermal_zone0/temp": "48686\n",
            "sys/class/power_supply/usb/online": "1\n",
        },
    )
    machine, conditions = describe_machine(root), read_conditions(root)
    assert machine.cpu == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine.features == ("asimd",)
    assert machine.memory_mb == pytest.approx(3977.5, abs=0.1)
    assert (conditions.clock_mhz, conditions.clock_limit_mhz, conditions.governor) == (1650.0, 1800.0, "ondemand")
    assert conditions.temperature_c == pytest.approx(48.686)
    assert conditions.available_memory_mb == pytest.approx(3072.0)
    assert conditions.on_battery is False


def test_a_system_that_tells_nothing_gives_nulls(tmp_path):
    conditions = read_conditions(write(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "garbage"}))
    assert (conditions.clock_mhz, conditions.governor, conditions.temperature_c, conditions.on_battery) == (None,) * 4
    assert busy_seconds(tmp_path) is None
    assert describe_machine(tmp_path).features == ()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_busy_seconds_grow_with_work():
    before, own = busy_seconds(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    after = busy_seconds()
    assert before is not None
    assert after is not None
    assert after - before > 0.2


def test_memory_of_this_process():
    now, peak = resident_mb(), peak_resident_mb()
    assert now is not None
    assert peak is not None
    assert 5 < now <= peak + 1
    block = bytearray(os.urandom(1) * 60_000_000)
    grown = peak_resident_mb()
    assert grown is not None
    assert grown > now + 50
    assert len(block) == 60_000_000


def test_usable_cores_are_at_least_one():
    assert usable_cores() >= 1
