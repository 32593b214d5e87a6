"""``tlm-edge bench``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlm_edge.cli.bench_output import print_json, print_records, require_all, shown_progress
from tlm_edge.cli.options import (
    ColumnsOption,
    ForceOption,
    JsonOption,
    LabelColumnOption,
    OptionalDataOption,
    OptionalOutOption,
    SeedOption,
    TextColumnOption,
)
from tlm_edge.runtime.layout import LAYOUTS

if TYPE_CHECKING:
    from tlm_edge.bench.bench import Settings
    from tlm_edge.bench.devices import Address
    from tlm_edge.bench.inputs import Input
    from tlm_edge.bench.session import Progress, Result
    from tlm_edge.cli.screen import Screen

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[BUNDLE…]",
        help="Bundles (folders or zips), checkpoints, committees or shipped models, side by side; "
        "if none is named, agnews-bert-6 against agnews-committee.",
        show_default=False,
    ),
]
DevicesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where to measure: local (if not given), rpi4, rpi5, android, a stored device or a PROFILE.toml, see "
        "`tlm-edge devices`; repeatable. What can't be reached is emulated, and it says so.",
    ),
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="USER@HOST", help="Measure there, over SSH, without storing it.")
]
EmulateOption = Annotated[
    bool, typer.Option("--emulate", help="Emulate the device, whether or not it could be reached.")
]
KeepOption = Annotated[
    bool, typer.Option("--keep", help="Leave the jobs and what the runtimes wrote on the device, for a look at them.")
]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="rapid|quick|normal",
        help="At least 64, 128 or 1024 inferences and 3, 10 or 60 seconds for each bundle.",
    ),
]
BenchThreadsOption = Annotated[
    list[int] | None,
    typer.Option("--threads", min=1, metavar="N", help="Threads to compute with, 1 if not given; repeatable."),
]
LengthsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--length",
        min=2,
        metavar="TOKENS",
        help="Bring every text to so many tokens, for the curve of latency over length; repeatable. If not given, "
        "texts have their own length.",
    ),
]
PowerOption = Annotated[
    str | None,
    typer.Option(
        "--power-cmd", metavar="COMMAND", help="A command on this computer that prints the watts that the device draws."
    ),
]
TargetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="Target to export models to that are no bundles yet, onnx if not given; repeatable. For another device "
        "than this one, with no model named, every one that is installed.",
    ),
]
PrecisionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="P",
        help="Precision to export models to that are no bundles yet, int8 if not given; repeatable.",
    ),
]
LayoutsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--layout",
        metavar="|".join(LAYOUTS),
        help="How the members of committees are to lie in bundles exported now (see `tlm-edge export`); repeatable: "
        "which layout is the fastest there is told.",
        show_default=False,
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted benchmark: that in --out, or else the latest.")
]


def bench(
    models: ModelsArgument = None,
    device: DevicesOption = None,
    host: HostOption = None,
    emulate: EmulateOption = False,
    profile: ProfileOption = "rapid",
    threads: BenchThreadsOption = None,
    length: LengthsOption = None,
    power_cmd: PowerOption = None,
    target: TargetsOption = None,
    precision: PrecisionsOption = None,
    layout: LayoutsOption = None,
    data: OptionalDataOption = None,
    text_column: TextColumnOption = None,
    label_column: LabelColumnOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
    out: OptionalOutOption = None,
    keep: KeepOption = False,
    resume: ResumeOption = False,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Measure accuracy, latency, memory and size of bundles side by side, each in a process of its own.

    Rounds are interleaved, so that ratios between bundles come with a confidence interval. What is done so far is
    kept: an interrupted benchmark goes on with --resume.
    """
    from tlm_edge.bench import bench as benchmark
    from tlm_edge.bench.devices import LOCAL
    from tlm_edge.bench.inputs import DEFAULT_MODELS, DEFAULT_TARGET, open_inputs
    from tlm_edge.cli.screen import Screen
    from tlm_edge.runtime.errors import UserError

    console = Screen(stderr=json)
    if resume:
        folder = out or benchmark.unfinished_folder()
        with shown_progress(console, folder) as progress:
            result = benchmark.resume(folder, progress)
    else:
        addresses = _chosen(device or [], host, emulate, console)
        folder = out or benchmark.default_folder(addresses, profile)
        names = models or list(DEFAULT_MODELS)
        source = None
        if data is not None:
            split = [name.strip() for name in (columns or "").split(",") if name.strip()]
            source = benchmark.data_source(data, text_column or (), label_column, split)
        lengths = tuple(length) if length else (None,)
        settings = benchmark.Settings(
            addresses, profile, tuple(threads or (1,)), seed, source, keep, lengths, power_cmd
        )
        phone = _phone(addresses)
        layouts = [known for known in LAYOUTS if known in (layout or ())]
        if unknown := set(layout or ()) - set(layouts):
            raise UserError(f"--layout {unknown.pop()}: there are {', '.join(LAYOUTS)}")
        targets = target or ([DEFAULT_TARGET] if models or addresses == (LOCAL,) else _installed_targets(phone))
        with console.status("Opening the bundles, exporting what is none yet …"):
            inputs = open_inputs(names, precision or ["int8"], targets, layouts)
        where = [word for name in device or ["local"] for word in ("--device", name)] if device or not host else []
        where += ["--host", host] if host else []
        # What was chosen where nothing was named is named: the command is to repeat this on any machine.
        where += ["--emulate"] if all(one.transport == "emulated" for one in addresses) else []
        named = target or ([] if targets == [DEFAULT_TARGET] else targets)
        command = settings.command(names, named, precision or (), layouts, where)
        with shown_progress(console, folder if phone is None else None) as progress:
            if phone is None:
                result = benchmark.begin(inputs, settings, folder, command=command, progress=progress, force=force)
            else:
                result = _measured_in_app(phone, inputs, settings, command, folder, progress, force)
    if json:
        print_json(result.records, result.files)
    else:
        print_records(console, result.records)
        console.print(f"\nRecords: {folder}", soft_wrap=True)
        console.print(f"Next: tlm-edge report {folder} --out {folder}-report", soft_wrap=True)
    require_all(result.faults)


def _chosen(names: Sequence[str], host: str | None, emulate: bool, console: Screen) -> tuple[Address, ...]:
    """Where the devices are; what is to be said of each before it is measured is said."""
    from tlm_edge.bench.devices.choose import choose_device
    from tlm_edge.runtime.errors import UserError

    if host is not None and len(names) > 1:
        raise UserError("--host names one device: store several with tlm-edge devices add, and name them with --device")
    wanted: list[str | None] = [*names] or [None]
    choices = [choose_device(name, host=host, emulate=emulate) for name in wanted]
    for choice in choices:
        if choice.notice:
            console.print(choice.notice, highlight=False, soft_wrap=True)
    return tuple(choice.address for choice in choices)


def _phone(addresses: Sequence[Address]) -> str | None:
    """The serial of the phone that is to be measured, where it is one: no Python of its own, only apps."""
    from tlm_edge.runtime.errors import UserError

    on_adb = [address for address in addresses if address.transport == "adb"]
    if not on_adb:
        return None
    from tlm_edge.bench.devices.adb import has_python

    phones = [address for address in on_adb if not has_python(address.at)]
    if phones and len(addresses) > 1:
        raise UserError(f"{phones[0].name} is a phone, which an app measures: measure it by itself")
    return phones[0].at if phones else None


def _installed_targets(phone: str | None) -> list[str]:
    """The targets that models can be exported to in this installation, on a phone those that the app can run."""
    from tlm_edge.android.compile import ENGINES
    from tlm_edge.bench.inputs import DEFAULT_TARGET
    from tlm_edge.bench.runner import RUNTIMES
    from tlm_edge.extras import missing_modules

    wanted = [target for target in RUNTIMES if phone is None or target in ENGINES]
    return [target for target in wanted if target == DEFAULT_TARGET or not missing_modules(target)]


def _measured_in_app(
    phone: str,
    inputs: Sequence[Input],
    settings: Settings,
    command: str,
    folder: Path,
    progress: Progress,
    force: bool,
) -> Result:
    """Have the app on a phone measure. Raises ``UserError`` if it isn't installed there, or texts are named."""
    from tlm_edge.android.adb import find_phone
    from tlm_edge.android.bench import Request
    from tlm_edge.android.bench import bench as measure
    from tlm_edge.bench.session import Result
    from tlm_edge.runtime.errors import UserError

    if settings.source is not None or settings.lengths != (None,):
        raise UserError("on a phone the app measures, on the texts that it carries: leave --data and --length away")
    if settings.power_command is not None:
        raise UserError("on a phone the app measures, and reads no meter: leave --power-cmd away")
    request = Request(settings.profile, settings.threads, settings.seed, command)
    bundles = [one.bundle for one in inputs]
    records = measure(find_phone(phone), bundles, request, folder, progress, force=force)
    return Result(tuple(records), tuple(folder / f"{record.id}.json" for record in records), {})
