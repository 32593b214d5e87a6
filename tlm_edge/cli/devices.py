"""``tlm-edge devices``."""

from __future__ import annotations

from tlm_edge.cli.options import JsonOption


def devices(json: JsonOption = False) -> None:
    """List the devices that can be benchmarked on."""
    from tlm_edge.bench.devices import list_devices

    listings = list_devices()
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps([asdict(listing) for listing in listings], indent=2, ensure_ascii=False))
        return

    from rich.console import Console
    from rich.table import Table

    table = Table("device", "reached by", "what it is")
    for listing in listings:
        table.add_row(listing.address.name, listing.address.transport, listing.description)
    console = Console()
    console.print(table)
    console.print("Next: tlm-edge bench --device local")
