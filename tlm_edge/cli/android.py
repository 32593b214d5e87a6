"""``tlm-edge android``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlm_edge.cli.options import ForceOption, JsonOption, OptionalOutOption, SeedOption

app = typer.Typer(help="Build the Android demo app, install it on a phone, and measure there.", no_args_is_help=True)

APK = Path("tlm-edge-out/tlm-edge-demo.apk")

ApkOption = Annotated[Path, typer.Option("--apk", metavar="FILE", help="The app to install.")]
SerialOption = Annotated[
    str | None, typer.Option("--serial", metavar="SERIAL", help="Which phone, where adb sees several.")
]


@app.callback()
def android() -> None:
    """Build the Android demo app, install it on a phone, and measure there."""


@app.command()
def setup() -> None:
    """Fetch the compilers and libraries that the app is built from, and check their hashes."""
    from tlm_edge.android.compile import open_project
    from tlm_edge.android.parts import fetch, missing
    from tlm_edge.android.toolchain import missing_programs

    wanted = missing(open_project().parts)
    if wanted:
        fetch(wanted, print)
    print("parts: all there" if not wanted else f"parts: {len(wanted)} fetched")
    if lacking := missing_programs():
        names = ", ".join(lacking)
        print(f"programs still missing: {names} (Debian: apt-get install {' '.join(sorted(set(lacking.values())))})")


@app.command()
def build(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The APK to write.")] = APK,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine", metavar="onnx|tflite|executorch", help="Runtime to put in, all if not given; repeatable."
        ),
    ] = None,
    abi: Annotated[
        list[str] | None,
        typer.Option(
            "--abi", metavar="ABI", help="Processors to build for, arm64-v8a and x86_64 if not given; repeatable."
        ),
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            "--bundle", metavar="BUNDLE", help="A bundle to put in besides the two shipped models; repeatable."
        ),
    ] = None,
) -> None:
    """Build the app from its sources and sign it with a debug key of this machine."""
    from tlm_edge.android.build import ABIS, build
    from tlm_edge.android.compile import ENGINES, open_project
    from tlm_edge.runtime.bundle import open_bundle

    bundles = [open_bundle(one) for one in bundle or ()]
    apk = build(open_project(), out, engines=tuple(engine or ENGINES), abis=tuple(abi or ABIS), bundles=bundles)
    size = apk.file.stat().st_size / 1e6
    print(f"{apk.file}: {size:.1f} MB, {', '.join(apk.engines)}, {', '.join(apk.abis)}")
    if apk.small_pages:
        print(f"not for phones with 16 KB pages: {', '.join(apk.small_pages)}")
    print("Next: tlm-edge android install")


@app.command()
def install(apk: ApkOption = APK, serial: SerialOption = None) -> None:
    """Install the app on a phone through adb."""
    from tlm_edge.android import adb

    phone = adb.find_phone(serial)
    adb.install(phone, apk)
    print(f"{apk} is on {phone.serial}")
    print("Next: tlm-edge android bench")


@app.command()
def bench(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUNDLE]…", help="Bundles to measure, the models in the app if none is named."),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="rapid|quick|normal",
            help="At least 64, 128 or 1024 inferences and 3, 10 or 60 seconds for each bundle.",
        ),
    ] = "rapid",
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", min=1, metavar="N", help="Threads to compute with, 1 if not given; repeatable."),
    ] = None,
    seed: SeedOption = 0,
    serial: SerialOption = None,
    out: OptionalOutOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Measure bundles in the app on a phone and bring the records home."""
    import shlex

    from tlm_edge.android.adb import find_phone
    from tlm_edge.android.bench import Request
    from tlm_edge.android.bench import bench as measure
    from tlm_edge.bench.assemble import now
    from tlm_edge.bench.bench import OUT
    from tlm_edge.cli.bench_output import print_json, print_records, shown_progress
    from tlm_edge.cli.screen import Screen
    from tlm_edge.runtime.bundle import open_bundle

    counts = tuple(threads or (1,))
    words = ["tlm-edge", "android", "bench", *(bundles or ()), "--profile", profile, "--seed", str(seed)]
    words += [word for count in counts for word in ("--threads", str(count))]
    opened = [open_bundle(bundle) for bundle in bundles or ()]
    phone = find_phone(serial)
    folder = out or OUT / f"android-{profile}-{now().replace('+00:00', 'Z').replace(':', '').replace('-', '')}"
    console = Screen(stderr=json)
    with shown_progress(console, None) as progress:
        request = Request(profile, counts, seed, shlex.join(words))
        records = measure(phone, opened, request, folder, progress, force=force)
    if json:
        print_json(records, [folder / f"{record.id}.json" for record in records])
        return
    print_records(console, records)
    console.print(f"\nRecords: {folder}", soft_wrap=True)
    console.print(f"Next: tlm-edge report {folder} --out {folder}-report", soft_wrap=True)
