"""A TFLite bundle's file in LiteRT."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tests.tiny_models import MAX_LENGTH, labelled_texts
from tlm_edge.runtime import tflite
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.tflite import TfliteSession
from tlm_edge.runtime.tokenize import pad


@pytest.fixture(scope="module")
def model_file(tiny_tflite_bundle):
    return tiny_tflite_bundle / "model.tflite"


@pytest.fixture(scope="module")
def token_ids(tiny_tflite_bundle):
    """Real texts of many lengths."""
    encoder = BundleClassifier(open_bundle(tiny_tflite_bundle), 1).encoder
    ids = encoder.token_ids(labelled_texts()[0][:8])
    return [sequence[:length] for sequence, length in zip(ids, (1, 2, 15, 16, 17, 32, 33, MAX_LENGTH), strict=True)]


def test_the_lengths_are_those_of_the_file(model_file):
    assert TfliteSession(model_file, 1).lengths == (16, 32, MAX_LENGTH)


def test_a_batch_is_its_rows(model_file, token_ids):
    session = TfliteSession(model_file, threads=2)
    together = session.run(*pad(token_ids, 0))
    assert {name: array.shape for name, array in together.items()} == {
        "probabilities": (8, 4),
        "member_logits": (8, 2, 4),
    }
    for row, sequence in enumerate(token_ids):
        alone = session.run(*pad([sequence], 0))
        for name, array in alone.items():
            np.testing.assert_array_equal(array[0], together[name][row])
    np.testing.assert_allclose(together["probabilities"].sum(axis=1), 1, atol=1e-5)


def test_padding_changes_nothing(model_file, token_ids):
    session = TfliteSession(model_file, threads=1)
    ids, mask = pad([token_ids[2]], 0)
    expected = session.run(ids, mask)["member_logits"]
    # In a longer signature, with whatever stands behind the text: what the mask hides is not looked at.
    longer = session._signatures[-1].run(ids[0], mask[0])["member_logits"]
    np.testing.assert_allclose(longer, expected, atol=1e-5)
    noise = np.full((1, 40), 7), np.zeros((1, 40), dtype=np.int64)
    noisy = session.run(np.hstack([ids, noise[0]]), np.hstack([mask, noise[1]]))["member_logits"]
    np.testing.assert_array_equal(noisy, expected)


def test_results_stay_when_the_session_goes_on(model_file, token_ids):
    session = TfliteSession(model_file, threads=1)
    first = session.run(*pad([token_ids[4]], 0))["member_logits"]
    kept = first.copy()
    session.run(*pad([token_ids[5]], 0))
    np.testing.assert_array_equal(first, kept)


def test_a_text_that_is_too_long(model_file):
    ids = np.ones((1, MAX_LENGTH + 1), dtype=np.int64)
    with pytest.raises(UserError, match=f"a text of {MAX_LENGTH + 1} tokens: .* at most {MAX_LENGTH}"):
        TfliteSession(model_file, 1).run(ids, ids)


def test_several_threads_at_once(model_file, token_ids):
    session = TfliteSession(model_file, threads=1)
    batches = [pad([sequence], 0) for sequence in token_ids] * 10
    expected = [session.run(*batch)["member_logits"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: session.run(*batch)["member_logits"], batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_the_interpreter_s_inner_steps(model_file, token_ids, monkeypatch):
    class OtherRunner:
        def __init__(self, interpreter, key):
            self.inner = runner(interpreter, key)
            self.get_input_details = self.inner.get_input_details
            self.get_output_details = self.inner.get_output_details

        def __call__(self, **arrays):
            return self.inner(**arrays)

    expected = TfliteSession(model_file, 1).run(*pad(token_ids, 0))
    runner = tflite.Interpreter.get_signature_runner
    monkeypatch.setattr(tflite.Interpreter, "get_signature_runner", lambda self, key: OtherRunner(self, key))
    found = TfliteSession(model_file, 1).run(*pad(token_ids, 0))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_is_no_model(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"not a model" * 100)
    with pytest.raises(UserError, match=r"ai-edge-litert \d.* can't load .*model\.tflite: "):
        TfliteSession(tmp_path / "model.tflite")


def test_nothing_is_said(tiny_tflite_bundle):
    command = [sys.executable, "-m", "tlm_edge", "predict", str(tiny_tflite_bundle), "Shares fell"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_without_a_runtime(tiny_tflite_bundle):
    script = f"""
import sys
sys.modules["ai_edge_litert"] = sys.modules["tflite_runtime"] = None
from tlm_edge.cli import main
sys.argv = ["tlm-edge", "predict", {str(tiny_tflite_bundle)!r}, "x"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "running a TFLite bundle needs ai-edge-litert: pip install ai-edge-litert" in done.stderr
