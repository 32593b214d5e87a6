"""Every benchmark, one after another, with the time that is left; what is finished is not run again.

    python benchmarks/run_all.py [NAME …] [--list]

NAMEs are the beginnings of scripts' names. Interrupted or failed, the same command goes on. Finished counts what this
very code has measured: bundles and the list of what is done are kept in build/benchmarks/, in a folder of its own for
each state of the code. One at a time, since they measure; close other programs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from environment import RESULTS  # isort: skip (beside this file)

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / "build" / "benchmarks"
#: What is run, those with the least to wait for first.
COMMANDS = (
    "startup.py",
    "install_size.py",
    "export_cost.py",
    "pretraining_speed.py --arch bert-1 --precision bf16",
    "pretraining_speed.py --arch bert-1 --precision fp32",
    "pretraining_speed.py --arch bert-6 --precision bf16 --rounds 3 --steps 3 --warmup-steps 1",
    "pretraining_speed.py --arch bert-6 --precision fp32 --rounds 3 --steps 3 --warmup-steps 1",
    "agnews_baseline.py",
    "throughput.py",
    "cascade.py",
    "rivals.py --rounds 10 --speed-rounds 2",
    "rivals.py --task dbpedia --rounds 10 --speed-rounds 2",
    "rivals.py --task fewrel --rounds 10 --speed-rounds 2",
    "runtimes.py",
    "deep_against_committee.py",
    "against_plain_exports.py",
    "targets.py",
    "finetuning.py",
    "few_labels.py",
    "committees.py",
    "distillation.py",
    "new_tasks.py",
    "pretraining_gain.py fewrel",
    "pretraining_gain.py agnews",
    "emulated_bench.py",
    "emulated_latency.py",
    "emulated_outputs.py",
)


def main() -> None:
    options = _options()
    wanted = [command for command in COMMANDS if not options.name or command.startswith(tuple(options.name))]
    if not wanted:
        sys.exit(f"error: no benchmark's name begins with {' or '.join(options.name)}: --list names them")
    if options.list:
        for command in wanted:
            print(f"{command:75} {_minutes(expected_seconds(command))}")
        return
    failed = run_all(wanted, HERE, KEPT / state_of_code())
    if failed:
        sys.exit(f"error: {len(failed)} failed: {', '.join(failed)}; the same command runs these again")


def run_all(commands: Sequence[str], scripts: Path, kept: Path) -> list[str]:
    """Run what isn't finished in ``kept`` of the ``commands`` for files in ``scripts``; those that failed."""
    journal = kept / "finished.json"
    finished: dict[str, float] = json.loads(journal.read_text(encoding="utf-8")) if journal.is_file() else {}
    left = [command for command in commands if command not in finished]
    if done := len(commands) - len(left):
        print(f"{done} of {len(commands)} are finished: {journal} lists them")
    failed = []
    for number, command in enumerate(left):
        told = f"{_minutes(expected_seconds(command))}, with what follows {_minutes(_sum(left[number:]))}"
        print(f"[{done + number + 1}/{len(commands)}] {command}: {told}", flush=True)
        script, *arguments = command.split()
        if "--work" in (scripts / script).read_text(encoding="utf-8"):
            arguments += ["--work", str(kept / command.replace(" ", "_"))]
        start = time.monotonic()
        if subprocess.run([sys.executable, str(scripts / script), *arguments], check=False).returncode:
            failed.append(command)
            continue
        finished[command] = round(time.monotonic() - start, 1)
        kept.mkdir(parents=True, exist_ok=True)
        making = journal.with_name(f"making-{journal.name}")
        making.write_text(json.dumps(finished, indent=2) + "\n", encoding="utf-8")
        making.rename(journal)
    return failed


def expected_seconds(command: str) -> float | None:
    """The seconds that it took when its result in ``results/`` was made, ``None`` where that isn't told."""
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result.get("command") == f"python benchmarks/{command}":
            return result.get("took_seconds")
    return None


def state_of_code() -> str:
    """What changes with any line of the package or of the benchmarks."""
    digest = hashlib.sha256()
    for path in sorted([*(HERE.parent / "tlm_edge").rglob("*.py"), *HERE.rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sum(commands: Sequence[str]) -> float | None:
    expected = [expected_seconds(command) for command in commands]
    return None if None in expected else sum(seconds for seconds in expected if seconds is not None)


def _minutes(seconds: float | None) -> str:
    return "not timed yet" if seconds is None else f"about {max(1, round(seconds / 60))} min"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="run only scripts whose names begin so")
    parser.add_argument("--list", action="store_true", help="only tell what would be run, and how long it took last")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on")
