"""What emulated processors compute, in the real arm64 runtimes, against the same runtimes here."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.bench.emulation import emulated
from tests.tiny_models import labelled_texts
from tlm_edge.runtime.parity import Logits
from tlm_edge.runtime.probe import Answer, probe


def probe_emulated(name, bundle, texts, folder) -> Answer:
    asked, answered = folder / "texts.json", folder / f"{name}.npz"
    asked.write_text(json.dumps(texts))
    arguments = ["-P", "-m", "tlm_edge.runtime.probe", str(bundle), str(asked), str(answered), "1"]
    status, _, errors, _ = emulated(name).run(arguments)
    assert status == 0, errors
    with np.load(answered) as arrays:
        return Answer(Logits(arrays["alone"], arrays["padded"]), arrays["probabilities"])


@pytest.mark.parametrize("name", ["rpi4", "rpi5"])
def test_float_logits_are_those_of_the_runtime_here(name, tiny_bundle, tmp_path):
    texts = labelled_texts()[0][:12]
    here, there = probe(tiny_bundle, texts), probe_emulated(name, tiny_bundle, texts, tmp_path)
    assert np.abs(there.logits.alone - here.logits.alone).max() < 1e-5
    assert np.abs(there.logits.padded - here.logits.padded).max() < 1e-5
    assert np.abs(there.probabilities - here.probabilities).max() < 1e-5


@pytest.mark.parametrize("runtime", ["onnx", "tflite", "executorch"])
def test_every_runtime_runs_int8_there(runtime, request, tmp_path):
    fixture = {"onnx": "tiny_committee_bundle", "tflite": "tiny_tflite_bundle"}.get(runtime, "tiny_executorch_bundle")
    emulated("rpi4")
    bundle = request.getfixturevalue(fixture)
    texts = labelled_texts()[0][:12]
    here, there = probe(bundle, texts), probe_emulated("rpi4", bundle, texts, tmp_path)
    # Kernels differ from one processor to another; what they are to agree on are labels.
    assert np.mean(there.probabilities.argmax(axis=1) == here.probabilities.argmax(axis=1)) >= 0.9
    assert np.abs(there.probabilities - here.probabilities).max() < 0.1


def test_the_runtimes_see_the_device_s_processor(tmp_path):
    script = "print(open('/proc/cpuinfo').read()); import platform; print(platform.machine())"
    parts = {}
    for name in ("rpi4", "rpi5"):
        status, output, errors, _ = emulated(name).run(["-c", script])
        assert status == 0, errors
        assert output.strip().endswith("aarch64")
        parts[name] = set(re.findall(r"CPU part\s*: (\w+)", output))
    assert parts == {"rpi4": {"0xd08"}, "rpi5": {"0xd0b"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rpi4", "rpi5"])
@pytest.mark.parametrize("target", ["onnx", "tflite", "executorch"])
@pytest.mark.parametrize("model", ["agnews-bert-1", "agnews-committee"])
def test_float_logits_of_shipped_models(model, target, name, tmp_path):
    from tlm_edge.bench.inputs import open_inputs
    from tlm_edge.bench.texts import shipped_texts

    emulated(name)
    (bundle,) = (one.path for one in open_inputs([model], ["fp32"], [target]))
    texts = list(shipped_texts().texts[:20])
    here, there = probe(bundle, texts), probe_emulated(name, bundle, texts, tmp_path)
    assert np.abs(there.logits.alone - here.logits.alone).max() < 1e-5
