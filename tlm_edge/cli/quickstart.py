"""``tlm-edge quickstart``."""

from __future__ import annotations

from pathlib import Path

from tlm_edge.cli.options import ForceOption, OptionalOutOption


def quickstart(out: OptionalOutOption = None, force: ForceOption = False) -> None:
    """Compare a deep model with a committee of shallow ones on this machine: minutes, offline, nothing to prepare.

    Exports the shipped models to ONNX, verifies the files against PyTorch, measures them side by side and writes a
    report, into tlm-edge-out/quickstart if --out is not given; that folder is replaced the next time.
    """
    from tlm_edge.cli.bench_output import print_records, require_all, shown_progress
    from tlm_edge.cli.screen import Screen
    from tlm_edge.files import refuse_existing
    from tlm_edge.quickstart import tell_story

    console = Screen()
    folder = out or Path("tlm-edge-out/quickstart")
    refuse_existing(folder, force=force or out is None)
    console.print("Deep against committee, on this machine:")
    with shown_progress(console, None) as progress:
        story = tell_story(folder, lambda line: console.print(f"  {line}", highlight=False, soft_wrap=True), progress)
    print_records(console, story.result.records, ("accuracy", "latency_p50", "latency_p90", "peak_rss", "size"))
    for line in story.left_out:
        console.print(f"[yellow]left out: {line.replace('[', chr(92) + '[')}", soft_wrap=True, highlight=False)
    console.print(f"\nBundles: {folder / 'bundles'}\nRecords: {story.records}", soft_wrap=True)
    if story.page is not None:
        console.print(f"Report:  {story.page} (open it in a browser)", soft_wrap=True)
    console.print("Next:    tlm-edge predict agnews-committee 'Rovers win derby'", soft_wrap=True)
    console.print("         tlm-edge bench --profile quick", soft_wrap=True)
    require_all(story.result.faults)
