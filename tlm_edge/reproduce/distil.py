"""From the folder of a reproduction to what is kept of it: ``python -m tlm_edge.reproduce.distil FOLDER OUT``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tlm_edge.reproduce.folder import plan_of
from tlm_edge.reproduce.jobs import DATA_VARIABLE, Place
from tlm_edge.reproduce.measure import measure
from tlm_edge.reproduce.results import distil
from tlm_edge.runtime.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Distil the folder that the command line names; exit as ``tlm-edge`` does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the reproduction, finished or not")
    parser.add_argument("out", type=Path, help="where to write what is kept; replaced if it is there")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get(DATA_VARIABLE), help="the folder of the plan's data"
    )
    options = parser.parse_args(arguments)
    try:
        measure(Place(plan_of(options.folder), options.folder.absolute(), options.data))
        results = distil(options.folder, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    done = len(results.planned) - len(results.missing)
    print(f"{done} of {len(results.planned)} trainings: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
