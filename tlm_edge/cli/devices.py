"""``tlm-edge devices``: what can be measured on, and how it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tlm_edge.cli.options import ForceOption, JsonOption

if TYPE_CHECKING:
    from tlm_edge.bench.devices import Address
    from tlm_edge.bench.devices.check import Check

app = typer.Typer(help="List the devices that can be benchmarked on; add, remove and check them.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What --device calls it.")]


@app.callback(invoke_without_command=True)
def devices(context: typer.Context, json: JsonOption = False) -> None:
    """List the devices that can be benchmarked on, with what can be reached now; add, remove and check them."""
    if context.invoked_subcommand is not None:
        return
    from tlm_edge.bench.devices import list_devices
    from tlm_edge.bench.devices.stored import stored_devices
    from tlm_edge.bench.profiles import profile_names, profile_of

    listings = list_devices(stored_devices())
    profiles = [profile_of(name) for name in profile_names()]
    if json:
        from dataclasses import asdict
        from json import dumps

        known = [{"name": profile.name, "title": profile.title, "transport": profile.transport} for profile in profiles]
        print(dumps({"devices": [asdict(one) for one in listings], "profiles": known}, indent=2, ensure_ascii=False))
        return

    from rich.table import Table

    from tlm_edge.cli.screen import Screen

    console = Screen()
    table = Table("device", "reached by", "now", "what it is", title="Devices", title_justify="left")
    emulated = {one.address.name: one for one in listings if one.address.transport == "emulated"}
    for listing in listings:
        address = listing.address
        if address.name in emulated and listing == emulated[address.name]:
            continue
        by = f"{address.transport} {address.at}".strip()
        state = "[green]there" if listing.reachable else "[yellow]not there"
        kind = f" ({address.profile})" if address.profile else ""
        table.add_row(address.name + kind, by, state, listing.description)
    console.print(table)
    title = "Profiles: what --device knows; emulated where none can be reached"
    kinds = Table("profile", "what it is", "cores", "emulation", title=title, title_justify="left")
    for profile in profiles:
        cores = ", ".join(f"{kind.count} × {kind.type} {kind.mhz} MHz" for kind in profile.cores)
        one = emulated.get(profile.name)
        possible = "[green]yes" if one and one.reachable else "[yellow]" + (one.description if one else "no")
        kinds.add_row(profile.name, profile.title, cores, possible)
    console.print(kinds)
    console.print("Next: tlm-edge devices add NAME --host USER@HOST, or tlm-edge bench --device NAME", soft_wrap=True)


@app.command()
def add(
    name: NameArgument,
    host: Annotated[
        str | None, typer.Option("--host", metavar="USER@HOST", help="Where ssh finds it: a host, or ssh://….")
    ] = None,
    serial: Annotated[
        str | None, typer.Option("--serial", metavar="SERIAL", help="What adb calls it: adb devices.")
    ] = None,
    profile_name: Annotated[
        str | None,
        typer.Option(
            "--profile-name", metavar="PROFILE", help="What kind of device it is; NAME, if that is a profile."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Store a device and how it is reached."""
    from tlm_edge.bench.devices import Address
    from tlm_edge.bench.devices.adb import check_serial
    from tlm_edge.bench.devices.ssh import check_destination
    from tlm_edge.bench.devices.stored import store_device
    from tlm_edge.bench.profiles import profile_names, profile_of
    from tlm_edge.runtime.errors import UserError

    profile = profile_name or (name if name in profile_names() else None)
    if profile is not None:
        profile_of(profile)
    if (host is None) == (serial is None):
        raise UserError("give --host USER@HOST for a device that ssh reaches, or --serial SERIAL for adb: one of them")
    if host is not None:
        check_destination(host)
        address = Address(name, "ssh", host, profile)
    else:
        check_serial(str(serial))
        address = Address(name, "adb", str(serial), profile)
    file = store_device(address, force=force)
    print(f"Stored in {file}\nNext: tlm-edge devices check {name}")


@app.command()
def remove(name: NameArgument) -> None:
    """Forget a stored device. What benchmarks left there is deleted with `devices clear`, before."""
    from tlm_edge.bench.devices.stored import forget_device

    print(f"Removed {name} from {forget_device(name)}")


@app.command()
def clear(name: NameArgument) -> None:
    """Delete everything that benchmarks have left on a device: runtimes, bundles, kept jobs."""
    from tlm_edge.bench.devices import open_device
    from tlm_edge.bench.devices.remote import RemoteDevice
    from tlm_edge.runtime.errors import UserError

    device = open_device(_stored(name))
    try:
        if not isinstance(device, RemoteDevice):
            raise UserError(f"nothing is left on {name}: it is {device.transport}")
        device.clear()
    finally:
        device.close()
    print(f"Cleared {name}")


@app.command()
def check(name: NameArgument, json: JsonOption = False) -> None:
    """Tell what a device is, which runtimes it can run, and what would spoil a measurement on it now."""
    from tlm_edge.bench.devices.check import check_device

    found = check_device(_stored(name))
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        _print_check(name, found)
    if found.fault is not None:
        from tlm_edge.runtime.errors import UserError

        raise UserError(found.fault)


def _stored(name: str) -> Address:
    from tlm_edge.bench.devices import LOCAL
    from tlm_edge.bench.devices.stored import stored_devices
    from tlm_edge.runtime.errors import UserError

    known = {one.name: one for one in (LOCAL, *stored_devices())}
    if name not in known:
        raise UserError(
            f"no stored device '{name}' (there are: {', '.join(known)}): tlm-edge devices add {name} --host …"
        )
    return known[name]


def _print_check(name: str, found: Check) -> None:
    from rich.table import Table

    from tlm_edge.cli.screen import Screen

    machine, state = found.machine, found.conditions

    def told(value: float | str | None, unit: str = "") -> str:
        if value is None:
            return "not told"
        return f"{value:.0f}{unit}" if isinstance(value, float) else f"{value}{unit}"

    table = Table("", name, show_header=True)
    table.add_row("CPU", f"{machine.cpu}, {machine.cores} cores, {machine.architecture}")
    table.add_row("instructions", ", ".join(machine.features) or "not told")
    table.add_row("system", f"{machine.system}, {machine.kernel}")
    table.add_row("Python", machine.python)
    table.add_row("memory", f"{told(machine.memory_mb, ' MB')}, {told(state.available_memory_mb, ' MB')} to spare")
    table.add_row("disk", told(found.free_mb, " MB free"))
    table.add_row("clock", f"{told(state.clock_mhz, ' MHz')}, at most {told(state.clock_limit_mhz, ' MHz')}")
    table.add_row("governor", told(state.governor))
    table.add_row("temperature", told(state.temperature_c, " °C"))
    table.add_row("throttled", told(state.throttled))
    for target, runtime in found.runtimes.items():
        table.add_row(f"runs {target}", runtime)
    console = Screen()
    console.print(table)
    for spoiler in found.spoilers:
        console.print(f"[yellow]would spoil a measurement:[/] {spoiler}", highlight=False, soft_wrap=True)
    if not found.spoilers:
        console.print("Nothing that the system tells would spoil a measurement.")
    if found.fault is None:
        console.print(f"Next: tlm-edge bench --device {name}")
