"""Emulated machines for tests, made once a session, and the reason where none can be had."""

from __future__ import annotations

from functools import cache

import pytest

from tlm_edge.bench.emulation.machine import EmulatedMachine, emulated_machine
from tlm_edge.bench.profiles import profile_of
from tlm_edge.runtime.errors import UserError


def emulated(name: str) -> EmulatedMachine:
    """The machine of a profile; skips the test where it can't be emulated."""
    machine = _machine(name)
    if isinstance(machine, str):
        pytest.skip(machine)
    return machine


@cache
def _machine(name: str) -> EmulatedMachine | str:
    try:
        return emulated_machine(profile_of(name).cores[0])
    except UserError as error:
        return str(error)
