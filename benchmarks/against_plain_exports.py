"""Our exports against what one would otherwise do with the same checkpoint, on real texts, in each runtime.

    python benchmarks/against_plain_exports.py [--target onnx …] [--model agnews-bert-1 …] [--rounds 7]

The others take the checkpoint through Hugging Face's own classes and follow the documented way: ``optimum`` exports to
ONNX with its defaults, ``litert_torch.convert`` and ``torch.export`` with the XNNPACK partitioner take a sample of 128
tokens; all in float32, texts padded to 128. Ours are bundles of ``tlm-edge export`` in fp32 and int8, texts at their
own length. One thread, one text at a time, tokenization not counted, a fresh process a file and round, in an order
drawn anew. ExecuTorch's file is run by ``executorch.runtime``, its Python interface.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from deep_against_committee import LENGTH, median_us, write_sequences  # isort: skip (beside this file)
from environment import describe_machine, interval, write_result  # isort: skip (beside this file)

OURS = ("fp32", "int8")


def main() -> None:
    options = _options()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        sequences = write_sequences(work)["own length"]
        for target in options.target:
            for model in options.model:
                results[f"{target}: {model}"] = compare(target, model, work, sequences, options.rounds)
    write_result(
        "against_plain_exports",
        {
            "what": "model time of a text by itself, medians of each round in µs, and the others' over ours",
            "provenance": "measured",
            "settings": {"rounds": options.rounds, "threads": 1, "others_padded_to": LENGTH},
            "results": results,
            "machine": describe_machine(),
        },
    )


def compare(target: str, model: str, work: Path, sequences: Path, rounds: int) -> dict[str, Any]:
    """Export ``model`` in the plain way and in ours, and time the files in turns."""
    from tlm_edge.export.export import export_model

    files = {"plain": work / f"{target}-{model}-plain"}
    PLAIN[target](model, files["plain"])
    for precision in OURS:
        files[precision] = export_model(model, target, precision, work / f"{target}-{model}-{precision}").folder
    medians: dict[str, list[float]] = {name: [] for name in files}
    for number in range(rounds):
        for name in random.Random(number).sample(list(files), len(files)):
            kind = target if name == "plain" else "ours"
            worker = [sys.executable, __file__, "--worker", kind, str(files[name]), str(sequences)]
            done = subprocess.run(worker, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"error: {target} {model} {name}: {done.stderr}")
            medians[name].append(float(done.stdout.split()[-1]))
    plain = np.array(medians["plain"])
    ratios = {name: interval(plain / np.array(medians[name])) for name in OURS}
    for name, ratio in ratios.items():
        print(f"{target}, {model}: plain / {name} {ratio['median']:.1f} ({ratio['min']:.1f} … {ratio['max']:.1f})")
    return {"medians_us": medians, "plain_over_ours": ratios}


def plain_onnx(model: str, folder: Path) -> None:
    """optimum's export with its defaults."""
    from optimum.exporters.onnx import main_export

    from tlm_edge.shipped import resolve_model

    main_export(str(resolve_model(model)), folder, task="text-classification", do_validation=False)


def plain_tflite(model: str, folder: Path) -> None:
    """litert-torch's documented conversion of a PyTorch module and its sample inputs."""
    import litert_torch

    folder.mkdir()
    litert_torch.convert(hugging_face(model), samples()).export(str(folder / "model.tflite"))


def plain_executorch(model: str, folder: Path) -> None:
    """ExecuTorch's documented way for CPUs: ``torch.export``, the XNNPACK partitioner, ``to_executorch``."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    folder.mkdir()
    program = to_edge_transform_and_lower(
        torch.export.export(hugging_face(model), samples()), partitioner=[XnnpackPartitioner()]
    ).to_executorch()
    (folder / "model.pte").write_bytes(program.buffer)


def hugging_face(model: str) -> Any:
    """The checkpoint in Hugging Face's class, giving a tuple of logits alone."""
    from transformers import AutoModelForSequenceClassification

    from tlm_edge.shipped import resolve_model

    loaded = AutoModelForSequenceClassification.from_pretrained(resolve_model(model), dtype="float32")
    loaded.config.return_dict = False
    return loaded.eval()


def samples() -> tuple[Any, Any]:
    """Token ids and mask of 128 tokens, two tensors."""
    import torch

    return torch.ones(1, LENGTH, dtype=torch.long), torch.ones(1, LENGTH, dtype=torch.long)


PLAIN = {"onnx": plain_onnx, "tflite": plain_tflite, "executorch": plain_executorch}


def work_on(kind: str, folder: str, sequences: str) -> float:
    """The worker's part: the median time of a text in µs."""
    token_ids = json.loads(Path(sequences).read_text())
    if kind == "ours":
        from tlm_edge.runtime.bundle import open_bundle
        from tlm_edge.runtime.sessions import open_session
        from tlm_edge.runtime.tokenize import pad

        bundle = open_bundle(folder)
        session = open_session(bundle, threads=1)
        return median_us(session.run, [pad([ids], bundle.manifest.pad_token_id) for ids in token_ids])
    padded = np.zeros((2, len(token_ids), 1, LENGTH), dtype=np.int64)
    for row, ids in enumerate(token_ids):
        padded[0, row, 0, : len(ids)] = ids
        padded[1, row, 0, : len(ids)] = 1
    return median_us(RUNNERS[kind](Path(folder)), list(zip(*padded, strict=True)))


def run_onnx(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    wanted = {each.name for each in session.get_inputs()}

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> Any:
        values = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": np.zeros_like(input_ids)}
        return session.run(None, {name: value for name, value in values.items() if name in wanted})

    return run


def run_tflite(folder: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    inputs = sorted(interpreter.get_input_details(), key=lambda each: each["name"])
    output = interpreter.get_output_details()[0]["index"]

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> Any:
        for each, value in zip(inputs, (input_ids, attention_mask), strict=True):
            interpreter.set_tensor(each["index"], value.astype(each["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(output)

    return run


def run_executorch(folder: Path) -> Any:
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    _unsafe_reset_threadpool(1)
    method = Runtime.get().load_program(folder / "model.pte").load_method("forward")

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> Any:
        return method.execute([torch.from_numpy(input_ids), torch.from_numpy(attention_mask)])

    return run


RUNNERS = {"onnx": run_onnx, "tflite": run_tflite, "executorch": run_executorch}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", choices=list(PLAIN))
    parser.add_argument("--model", action="append", choices=["agnews-bert-1", "agnews-bert-6"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    options.target = options.target or list(PLAIN)
    options.model = options.model or ["agnews-bert-1", "agnews-bert-6"]
    return options


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(work_on(*sys.argv[2:]))
    else:
        main()
