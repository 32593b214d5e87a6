"""The whole story in minutes, offline, on what the package ships: export, verify, measure side by side, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.bench.bench import Settings, begin
from tlm_edge.bench.inputs import Input, open_input
from tlm_edge.bench.session import Progress, Result
from tlm_edge.extras import missing_modules
from tlm_edge.loading import PREBUILT_BUNDLE
from tlm_edge.runtime.bundle import is_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import WEIGHTS_COMMAND, lacks_weights, resolve_model

#: A deep model, one shallow member, and the committee of shallow members.
MODELS = ("agnews-bert-6", "agnews-bert-1", "agnews-committee")
#: Targets with their precisions; a target whose packages are missing is left out, but for the first.
FORMS = (("onnx", "fp32"), ("onnx", "int8"), ("tflite", "int8"), ("executorch", "int8"))
TARGET = FORMS[0][0]

#: Told what was done, a line at a time.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Story:
    """What the quickstart made: the measurement, the folder of its records, the report's page, what was left out."""

    result: Result
    records: Path
    page: Path | None
    left_out: tuple[str, ...]


def make_bundles(folder: Path, tell: Tell) -> tuple[list[Input], list[str]]:
    """Export every model in every form into ``folder`` through the gate, and verify the files again.

    Without the extra that exports, or the weights, the ready-made bundles beside the shipped models are verified and
    taken. Returns the bundles, and what had to be left out. Raises ``UserError`` if a bundle doesn't pass.
    """
    left_out: list[str] = []
    paths: list[tuple[Path, Path]] = []
    needed = [f'pip install "tlm-edge[{TARGET}]"'] if missing_modules(TARGET) else []
    needed += [WEIGHTS_COMMAND] if any(lacks_weights(resolve_model(model)) for model in MODELS) else []
    if needed:
        left_out.append(f"exporting: it needs {' and '.join(needed)}; ready-made int8 bundles are used instead")
        for model in MODELS:
            prebuilt = resolve_model(model) / PREBUILT_BUNDLE
            if is_bundle(prebuilt):
                paths.append((prebuilt, prebuilt.parent))
            else:
                left_out.append(f"{model}: it has no ready-made bundle")
    else:
        from tlm_edge.export.export import export_model

        missing = dict.fromkeys(target for target, _ in FORMS if missing_modules(target))
        left_out += [f'{target}: it needs pip install "tlm-edge[{target}]"' for target in missing]
        for model in MODELS:
            checkpoint = resolve_model(model)
            for target, precision in FORMS:
                if target in missing:
                    continue
                out = folder / f"{model}-{target}-{precision}"
                tell(f"exporting {model} to {target} {precision}")
                export_model(checkpoint, target, precision, out, force=True)
                paths.append((out, checkpoint))
    if not paths:
        raise UserError(f'there is nothing to measure in this installation: pip install "tlm-edge[{TARGET}]"')
    return [_verified(path, checkpoint, tell) for path, checkpoint in paths], left_out


def tell_story(folder: Path, tell: Tell, progress: Progress) -> Story:
    """Make and verify the bundles, measure them side by side, and write the report, all into ``folder``.

    What an earlier quickstart left there is replaced. Raises ``UserError`` if a step fails.
    """
    inputs, left_out = make_bundles(folder / "bundles", tell)
    records = folder / "records"
    result = begin(
        inputs, Settings(profile="rapid"), records, command="tlm-edge quickstart", progress=progress, force=True
    )
    page = None
    if missing_modules("report"):
        left_out.append('the report: it needs pip install "tlm-edge[report]"')
    elif result.records:
        from tlm_edge.report.write import write_report

        tell("writing the report")
        page = write_report(result.records, folder / "report", force=True).page
    return Story(result, records, page, tuple(left_out))


def _verified(path: Path, checkpoint: Path, tell: Tell) -> Input:
    """Open a bundle after checking it again where PyTorch is not around. Raises ``UserError`` if it doesn't pass."""
    from tlm_edge.export.verify import verify_bundle

    verification = verify_bundle(path)
    failed = [f"{check.name}: {check.found}" for check in verification.checks if not check.passed]
    if failed:
        raise UserError(f"{path} failed its check ({'; '.join(failed)}): export it again")
    accuracy = "" if verification.accuracy is None else f", accuracy {verification.accuracy:.3f}"
    tell(f"verified {path.name}: logits within {verification.max_logit_difference:.1g} of PyTorch's{accuracy}")
    return open_input(path, checkpoint)
