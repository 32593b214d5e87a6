"""What a device is, what it can run, and what would spoil a measurement on it now."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import import_module

from tlm_edge.bench.devices import TRANSPORTS, Address
from tlm_edge.bench.devices.connection import State, require_usable
from tlm_edge.bench.machine import Conditions, Machine, describe_machine, read_conditions
from tlm_edge.bench.runner import RUNTIMES, locked_version, runner_fault
from tlm_edge.bench.validity import HOT
from tlm_edge.runtime.errors import UserError

#: Load average above which something else is at work, and °C from which on there is little left before ``HOT``.
_BUSY = 0.5
_WARM = HOT - 10
#: A clock below this share of its limit, when nothing runs, is what the governor makes of it.
_SLOW_CLOCK = 0.95


@dataclass(frozen=True)
class Check:
    """What ``check_device`` finds: runtimes by target, what would spoil a measurement, and what rules one out."""

    machine: Machine
    conditions: Conditions
    free_mb: float | None
    runtimes: dict[str, str]
    spoilers: tuple[str, ...]
    fault: str | None


def check_device(address: Address) -> Check:
    """Look at a device; nothing is left there. Raises ``UserError`` if it can't be reached or examined."""
    if address.transport == "local":
        return _checked(describe_machine(), read_conditions(), None, sys.version_info[:2], None)
    module = import_module(TRANSPORTS[address.transport])
    if not hasattr(module, "look"):
        raise UserError(f"{address.name} is {address.transport}: there is no hardware to check")
    state: State = module.look(address)
    fault = None
    try:
        require_usable(f"{address.name} ({address.at})", state)
    except UserError as error:
        fault = str(error)
    return _checked(state.machine, state.conditions, state.free_bytes / 1e6, state.python, fault)


def spoilers(conditions: Conditions) -> list[str]:
    """What would spoil a measurement, each with what to do about it."""
    found = []
    if conditions.governor not in (None, "performance"):
        found.append(
            f"the governor is {conditions.governor}, so the clock follows the load: "
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    clock, limit = conditions.clock_mhz, conditions.clock_limit_mhz
    if clock and limit and conditions.governor == "performance" and clock < _SLOW_CLOCK * limit:
        found.append(f"the clock is {clock:.0f} of {limit:.0f} MHz: look at power supply and cooling")
    if conditions.temperature_c is not None and conditions.temperature_c >= _WARM:
        found.append(f"it has {conditions.temperature_c:.0f} °C and slows down from {HOT:.0f} °C on: let it cool down")
    if conditions.throttled and conditions.throttled.lower() not in ("0x0", "0"):
        found.append(f"the firmware reports {conditions.throttled}: {_meaning(conditions.throttled)}")
    if conditions.load_average is not None and conditions.load_average > _BUSY:
        found.append(f"the load average is {conditions.load_average:.2f}: stop what else runs")
    if conditions.on_battery:
        found.append("it runs on battery: plug it in")
    return found


def _checked(
    machine: Machine, conditions: Conditions, free_mb: float | None, python: tuple[int, int], fault: str | None
) -> Check:
    runtimes = {}
    for target, package in RUNTIMES.items():
        lacking = runner_fault(target, machine.architecture) if platform.system() == "Linux" else None
        runtimes[target] = lacking or f"{package} {locked_version(package, python)}"
    return Check(machine, conditions, free_mb, runtimes, tuple(spoilers(conditions)), fault)


#: Bits of ``vcgencmd get_throttled`` (Raspberry Pi documentation); 16 higher: it has happened since the start.
_BITS = {0: "too little voltage", 1: "clock capped", 2: "throttled", 3: "near its temperature limit"}


def _meaning(flags: str) -> str:
    try:
        value = int(flags, 16)
    except ValueError:
        return "not known"
    words = [word for bit, word in _BITS.items() if value >> bit & 1]
    words += [f"{word} since it started" for bit, word in _BITS.items() if value >> (bit + 16) & 1]
    return ", ".join(words) or "not known"
