"""A short benchmark of real bundles: what the tests of records, comparisons and reports work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlm_edge.bench import protocol
from tlm_edge.bench.bench import Settings, begin
from tlm_edge.bench.inputs import open_input
from tlm_edge.bench.protocol import Profile
from tlm_edge.bench.session import Result

TEST_PROFILE = Profile("test", inferences=24, seconds=0.2, rounds=4, texts=6, warm_up_seconds=0.01)
COMMAND = "tlm-edge bench tiny-deep tiny-committee"


def measure(folder: Path, deep: Path, committee: Path, committee_bundle: Path) -> tuple[Result, Path]:
    """Measure the deep checkpoint's fp32 bundle against the committee's; once for each ``folder``."""
    from tlm_edge.export.export import export_model

    bundle = export_model(deep, precision="fp32", out=folder / "tiny-deep-onnx-fp32")
    inputs = [open_input(bundle.folder, deep), open_input(committee_bundle, committee)]
    out = folder / "records"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(protocol.PROFILES, "test", TEST_PROFILE)
        result = begin(inputs, Settings(profile="test"), out, command=COMMAND, progress=lambda *_: None)
    return result, out
