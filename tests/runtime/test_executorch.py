"""An ExecuTorch bundle's program in the native runner, and in the Python binding where there is none."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

pytest.importorskip("executorch")

from tests.tiny_models import MAX_LENGTH, labelled_texts
from tlm_edge.runtime import executorch
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import MissingExtraError, UserError
from tlm_edge.runtime.executorch import ExecutorchSession, own_lengths
from tlm_edge.runtime.executorch_runner import binding
from tlm_edge.runtime.executorch_runner.build import RunnerError, find_compiler
from tlm_edge.runtime.tokenize import pad


def has_compiler() -> bool:
    try:
        return bool(find_compiler())
    except RunnerError:
        return False


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")


@pytest.fixture(scope="module")
def model_file(tiny_executorch_bundle):
    return tiny_executorch_bundle / "model.pte"


@pytest.fixture(scope="module")
def token_ids(tiny_executorch_bundle):
    """Real texts of many lengths, [CLS] alone among them."""
    encoder = BundleClassifier(open_bundle(tiny_executorch_bundle), 1).encoder
    ids = encoder.token_ids(labelled_texts()[0][:6])
    return [sequence[:length] for sequence, length in zip(ids, (1, 2, 3, 16, 33, MAX_LENGTH), strict=True)]


#: Answers a text in a process of its own, and tells what it was computed by and whether PyTorch came along.
ANSWER = """
import sys
import numpy as np
from tlm_edge.runtime.executorch import ExecutorchSession
session = ExecutorchSession(sys.argv[1], 1)
ids = np.arange(5, 25)[None]
values = session.run(ids, np.ones_like(ids))
print(session.runtime)
print("torch" in sys.modules)
print(" ".join(repr(float(value)) for value in values["member_logits"].ravel()))
"""


def answer(model_file, **variables):
    command = [sys.executable, "-c", ANSWER, str(model_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | variables)
    runtime, torch, logits = done.stdout.splitlines()
    assert done.stderr == ""
    return runtime, torch == "True", np.array([float(value) for value in logits.split()])


@needs_compiler
def test_the_native_runner_needs_no_pytorch_and_the_binding_answers_the_same(model_file, tmp_path):
    runtime, torch, native = answer(model_file)
    assert (runtime, torch) == ("executorch", False)
    # No runner in the cache, and no compiler to make one with.
    runtime, torch, bound = answer(model_file, TLM_EDGE_CACHE=str(tmp_path), CXX="no-such-compiler")
    assert runtime == "executorch's Python binding (CXX names no-such-compiler, which is not there)"
    assert torch
    np.testing.assert_allclose(bound, native, rtol=0, atol=1e-5)
    assert not list(tmp_path.rglob("*.so"))


@needs_compiler
@pytest.mark.slow
def test_the_runner_is_built_once(model_file, tmp_path):
    _, _, first = answer(model_file, TLM_EDGE_CACHE=str(tmp_path))
    (runner,) = tmp_path.rglob("runner.so")
    made = runner.stat().st_mtime_ns
    runtime, _, second = answer(model_file, TLM_EDGE_CACHE=str(tmp_path), CXX="no-such-compiler")
    assert runtime == "executorch"
    assert runner.stat().st_mtime_ns == made
    np.testing.assert_array_equal(first, second)
    # One that can't be loaded doesn't stop anyone.
    runner.write_bytes(b"not a library")
    runtime, _, third = answer(model_file, TLM_EDGE_CACHE=str(tmp_path))
    assert runtime.startswith("executorch's Python binding (it can't be loaded: ")
    np.testing.assert_allclose(third, first, rtol=0, atol=1e-5)


def without_runner(monkeypatch, reason="there is no C++ compiler"):
    def refuse(model_file, threads):
        raise RunnerError(reason)

    monkeypatch.setattr(executorch, "NativeModel", refuse)


def test_neither_runner_nor_pytorch(model_file, monkeypatch):
    without_runner(monkeypatch)
    binding._binding.cache_clear()
    present = binding.find_spec
    monkeypatch.setattr(binding, "find_spec", lambda name: None if name == "torch" else present(name))
    message = r"native runner can't be had: there is no C\+\+ compiler\. And without it: .* binding needs torch$"
    with pytest.raises(UserError, match=message):
        ExecutorchSession(model_file, 1)


def test_executorch_is_not_installed(model_file, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(executorch, "version", absent)
    with pytest.raises(MissingExtraError, match=r'pip install "tlm-edge\[executorch\]"'):
        ExecutorchSession(model_file)


@pytest.fixture(params=["runner", "binding"])
def session(request, model_file, monkeypatch):
    """The same program loaded in either way, with one thread: the binding's models of a process share theirs."""
    if request.param == "binding":
        without_runner(monkeypatch)
    elif not has_compiler():
        pytest.skip("there is no C++ compiler")
    return ExecutorchSession(model_file, 1)


def test_a_batch_is_its_rows(session, token_ids):
    together = session.run(*pad(token_ids, 0))
    assert {name: array.shape for name, array in together.items()} == {
        "probabilities": (6, 4),
        "member_logits": (6, 2, 4),
    }
    for row, sequence in enumerate(token_ids):
        alone = session.run(*pad([sequence], 0))
        for name, array in alone.items():
            np.testing.assert_array_equal(array[0], together[name][row])
    np.testing.assert_allclose(together["probabilities"].sum(axis=1), 1, atol=1e-5)


def test_what_the_mask_hides_is_not_looked_at(session, token_ids):
    ids, mask = pad([token_ids[3]], 0)
    expected = session.run(ids, mask)["member_logits"]
    noisy = session.run(np.hstack([ids, np.full((1, 9), 7)]), np.hstack([mask, np.zeros((1, 9), dtype=np.int64)]))
    np.testing.assert_array_equal(noisy["member_logits"], expected)


def test_results_stay_when_the_session_goes_on(session, token_ids):
    first = session.run(*pad([token_ids[4]], 0))["member_logits"]
    kept = first.copy()
    session.run(*pad([token_ids[5]], 0))
    np.testing.assert_array_equal(first, kept)


def test_a_text_that_is_too_long(session):
    ids = np.full((1, MAX_LENGTH + 1), 5, dtype=np.int64)
    with pytest.raises(UserError, match="ExecuTorch refused the input: "):
        session.run(ids, np.ones_like(ids))
    # It goes on afterwards.
    assert np.isfinite(session.run(ids[:, :9], np.ones((1, 9), dtype=np.int64))["probabilities"]).all()


def test_several_threads_at_once(session, token_ids):
    batches = [pad([sequence], 0) for sequence in token_ids] * 10
    expected = [session.run(*batch)["member_logits"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: session.run(*batch)["member_logits"], batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("way", ["runner", "binding"])
def test_what_is_no_program(way, tmp_path, monkeypatch):
    if way == "binding":
        without_runner(monkeypatch)
    (tmp_path / "model.pte").write_bytes(b"not a program" * 100)
    with pytest.raises(UserError, match=r"ExecuTorch can't load .*model\.pte: "):
        ExecutorchSession(tmp_path / "model.pte", 1)


def test_the_padding_at_the_end_is_cut():
    masks = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert own_lengths(masks) == [2, 3, 4, 4]


def test_nothing_is_said(tiny_executorch_bundle):
    command = [sys.executable, "-m", "tlm_edge", "predict", str(tiny_executorch_bundle), "Shares fell"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
