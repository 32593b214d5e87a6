"""Models that many tests use, trained or exported once a session."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A suite started in the background inherits an ignored Ctrl-C, and so would the commands whose interruption is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# One thread a process, before any library reads it: the tests run in parallel and are to repeat exactly.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
# Help texts and tables come out alike in every terminal.
os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """The folder that the small models of this session lie in."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_folder) -> Path:
    from tests.tiny_models import make_tokenizer

    return make_tokenizer(tiny_folder / "tokenizer")


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_folder, tiny_tokenizer) -> Path:
    """A trained one-layer classifier over AG News' labels."""
    from tests.tiny_models import train_checkpoint

    return train_checkpoint(tiny_folder / "tiny", tiny_tokenizer)


@pytest.fixture(scope="session")
def tiny_deep_checkpoint(tiny_folder, tiny_tokenizer) -> Path:
    """A trained three-layer classifier over AG News' labels."""
    from tests.tiny_models import train_checkpoint

    return train_checkpoint(tiny_folder / "tiny-deep", tiny_tokenizer, layers=3, epochs=8)


@pytest.fixture(scope="session")
def tiny_committee(tiny_folder, tiny_tokenizer) -> Path:
    """A committee of two one-layer classifiers."""
    from tests.tiny_models import train_committee

    return train_committee(tiny_folder / "tiny-committee", tiny_tokenizer)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_folder, tiny_checkpoint) -> Path:
    """The fp32 ONNX bundle of ``tiny_checkpoint``. Don't change it: copy it first."""
    from tlm_edge.export.export import export_model

    return export_model(tiny_checkpoint, precision="fp32", out=tiny_folder / "tiny-onnx-fp32").folder


@pytest.fixture(scope="session")
def tiny_committee_bundle(tiny_folder, tiny_committee) -> Path:
    """The int8 ONNX bundle of ``tiny_committee``. Don't change it: copy it first."""
    from tlm_edge.export.export import export_model

    return export_model(tiny_committee, precision="int8", out=tiny_folder / "tiny-committee-onnx-int8").folder


@pytest.fixture(scope="session")
def tiny_tflite_bundle(tiny_folder, tiny_committee) -> Path:
    """The int8 TFLite bundle of ``tiny_committee``. Don't change it: copy it first."""
    pytest.importorskip("litert_torch")
    from tlm_edge.export.export import export_model

    return export_model(tiny_committee, "tflite", "int8", tiny_folder / "tiny-committee-tflite-int8").folder


@pytest.fixture(scope="session")
def tiny_executorch_bundle(tiny_folder, tiny_committee) -> Path:
    """The int8 ExecuTorch bundle of ``tiny_committee``. Don't change it: copy it first."""
    pytest.importorskip("executorch")
    from tlm_edge.export.export import export_model

    return export_model(tiny_committee, "executorch", "int8", tiny_folder / "tiny-committee-executorch-int8").folder


@pytest.fixture(scope="session")
def measured(tiny_folder, tiny_deep_checkpoint, tiny_committee, tiny_committee_bundle):
    """A benchmark of the deep model's fp32 bundle against the committee's int8 one: its result and its folder."""
    from tests.bench.measured import measure

    return measure(tiny_folder, tiny_deep_checkpoint, tiny_committee, tiny_committee_bundle)
