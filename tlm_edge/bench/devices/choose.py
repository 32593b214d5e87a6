"""From what ``--device`` says to where that is: stored, attached, or, where it can't be reached, emulated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tlm_edge.bench.devices import LOCAL, TRANSPORTS, Address, Listing
from tlm_edge.bench.devices.stored import check_name, stored_devices
from tlm_edge.bench.profiles import DeviceProfile, profile_names, profile_of
from tlm_edge.runtime.errors import UserError


@dataclass(frozen=True)
class Choice:
    """Where a device is, and what is to be said before it is measured, empty if nothing."""

    address: Address
    notice: str = ""


def choose_device(name: str | None, *, host: str | None = None, emulate: bool = False) -> Choice:
    """What ``--device``, ``--host`` and ``--emulate`` mean together.

    A stored device is taken by its own name, or by its profile's; so is an attached phone that is the only one of its
    kind. Where none can be reached, a profile is emulated, and the notice says so.
    Raises ``UserError`` if there is no such device, or nothing of the kind can be had.
    """
    if host is not None:
        if emulate:
            raise UserError("--host measures, --emulate doesn't: give one of them")
        return Choice(_at_host(name, host))
    name = name or LOCAL.name
    stored = stored_devices()
    own = next((one for one in stored if one.name == name), None)
    if emulate:
        return _emulated(own.profile if own is not None and own.profile else name, "")
    if name == LOCAL.name:
        return Choice(LOCAL)
    if _is_profile(name):
        return _of_profile(name, [own] if own is not None else [one for one in stored if one.profile == name])
    if own is not None:
        return Choice(own)
    names = ", ".join([LOCAL.name, *(one.name for one in stored), *profile_names()])
    raise UserError(f"no device '{name}': choose {names}, or a profile of your own, NAME.toml")


def _of_profile(name: str, candidates: Sequence[Address]) -> Choice:
    """The first of ``candidates`` that can be reached, an attached phone of that profile, or its emulation."""
    profile = profile_of(name)
    found = [listing for transport in TRANSPORTS for listing in _ask(transport, candidates)]
    for listing in found:
        if listing.reachable:
            return Choice(Address(profile.name, listing.address.transport, listing.address.at, name))
    phone = _attached_phone(profile, {one.at for one in candidates}) if profile.transport == "adb" else None
    if phone is not None:
        return Choice(Address(profile.name, "adb", phone, name))
    if found:
        return _emulated(name, found[0].description)
    return _emulated(name, "no such phone is attached" if profile.transport == "adb" else "none is stored")


def _at_host(name: str | None, host: str) -> Address:
    if name is None:
        words = host.removeprefix("ssh://").rpartition("@")[2].split(":")[0]
        return Address(re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._") or "host", "ssh", host)
    profile = _profile_or_none(name)
    called = name if profile is None else profile.name
    check_name(called)
    return Address(called, "ssh", host, None if profile is None else name)


def _is_profile(name: str) -> bool:
    return name.endswith(".toml") or name in profile_names()


def _profile_or_none(name: str) -> DeviceProfile | None:
    return profile_of(name) if _is_profile(name) else None


def _ask(transport: str, candidates: Sequence[Address]) -> list[Listing]:
    own = [one for one in candidates if one.transport == transport]
    listings: list[Listing] = import_module(TRANSPORTS[transport]).listings(own) if own else []
    return [listing for listing in listings if listing.address in own]


def _attached_phone(profile: DeviceProfile, stored: set[str]) -> str | None:
    """The serial of the phone that ``profile`` means: for ``android`` the only one, else one of the profile's model.

    Raises ``UserError`` if there are several, or the only one isn't ready.
    """
    from tlm_edge.bench.devices.adb import attached

    phones = [phone for phone in attached() if phone.serial not in stored]
    if profile.cores:
        phones = [phone for phone in phones if phone.model and phone.model.casefold() in profile.title.casefold()]
    if len(phones) > 1:
        serials = ", ".join(phone.serial for phone in phones)
        raise UserError(f"several phones are attached ({serials}): tlm-edge devices add {profile.name} --serial SERIAL")
    for phone in phones:
        if phone.fault:
            raise UserError(f"the phone {phone.serial} is {phone.fault}")
        return phone.serial
    return None


def _emulated(name: str, why: str) -> Choice:
    """The emulated device of a profile. Raises ``UserError`` if it can't be emulated."""
    profile = profile_of(name)
    if not profile.cores or profile.cores[0].qemu is None:
        reason = f": {why}" if why else ""
        raise UserError(f"{profile.name} can't be measured{reason}; nor emulated: tlm-edge devices tells which can")
    if "emulated" not in TRANSPORTS:
        raise UserError(f"{why}, and this tlm-edge can't emulate" if why else "this tlm-edge can't emulate")
    stands_for = name if Path(name).suffix == ".toml" else profile.name
    notice = (
        f"Emulating a {profile.cores[0].type} ({profile.title}): outputs, accuracy and instruction counts are those of "
        "its runtimes; latency is an estimate with a band; nothing is measured"
    )
    return Choice(Address(profile.name, "emulated", "", stands_for), f"{notice} ({why})." if why else f"{notice}.")
