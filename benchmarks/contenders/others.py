"""The same checkpoints as other tools export or run them: optimum, litert-torch, ExecuTorch's recipe, transformers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import against_plain_exports as plain
import numpy as np

from contenders.contender import Contender, Rival
from contenders.ours import training_settings
from tlm_edge.quiet import quiet

#: Runtime → the tool and the length that a text gets.
TOOLS = {
    "onnx": ("optimum", "each text's own"),
    "tflite": ("litert-torch", f"padded to {plain.LENGTH}"),
    "executorch": ("ExecuTorch's recipe", f"padded to {plain.LENGTH}"),
}
#: What transformers reads of a checkpoint.
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
#: What its pipeline takes in a batch.
BATCH = 32


def other_contenders(models: dict[str, Path], work: Path) -> list[Contender]:
    """A contender a model and tool, exported unless ``work`` holds it."""
    contenders = []
    for name, model in models.items():
        for target, (tool, length) in TOOLS.items():
            folder = work / f"plain-{name}-{target}"
            if not (folder / "tokenizer.json").exists():
                print(f"exporting {name} by {tool}", flush=True)
                shutil.rmtree(folder, ignore_errors=True)
                with quiet():
                    plain.PLAIN[target](str(model), folder)
                shutil.copy(model / "tokenizer.json", folder)
            settings = {"library": tool, "runtime": target, "precision": "fp32", "length": length}
            settings |= {"max_length": plain.LENGTH, "tokenizer": "tokenizers", "training": training_settings(model)}
            contenders.append(Contender(f"{name}, {tool}", f"plain-{target}", folder, model, settings))
            if target == "onnx":
                int8 = _quantized(folder, work / f"plain-{name}-onnx-int8")
                settings = settings | {"precision": "int8", "quantized_by": "onnxruntime's quantize_dynamic, defaults"}
                contenders.append(Contender(f"{name}, {tool}, dynamic int8", "plain-onnx", int8, model, settings))
        contenders.append(_pipeline(name, model, work))
    return contenders


def _quantized(folder: Path, out: Path) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    if not (out / "tokenizer.json").exists():
        out.mkdir(exist_ok=True)
        with quiet():
            quantize_dynamic(folder / "model.onnx", out / "model.onnx")
        shutil.copy(folder / "tokenizer.json", out)
    return out


def _pipeline(name: str, model: Path, work: Path) -> Contender:
    folder = work / f"pipeline-{name}"
    folder.mkdir(exist_ok=True)
    for file in FILES:
        shutil.copy(model / file, folder)
    settings = {"library": "transformers: pipeline, eager PyTorch", "runtime": "PyTorch", "precision": "fp32"}
    settings |= {"length": "each text's own", "max_length": plain.LENGTH, "batch_size": BATCH}
    settings |= {"training": training_settings(model)}
    return Contender(f"{name}, transformers' pipeline", "pipeline", folder, model, settings, True)


class Plain(Rival):
    """A plainly exported file and the tokenizers library; the ONNX file takes any length and batch, the others one."""

    separates = True

    def __init__(self, folder: Path, labels: Sequence[str], target: str, own_labels: Sequence[str]) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(plain.LENGTH)
        self.fixed = target != "onnx"
        if self.fixed:
            self.tokenizer.enable_padding(length=plain.LENGTH)
        self.run = plain.RUNNERS[target](folder)
        self.order = np.array([list(labels).index(label) for label in own_labels])

    def prepare(self, text: str) -> Any:
        (encoding,) = self.tokenizer.encode_batch_fast([text])
        return np.array([encoding.ids]), np.array([encoding.attention_mask])

    def answer(self, prepared: Any) -> int:
        return int(self.order[np.asarray(self.run(*prepared)[0]).argmax()])

    def label(self, texts: Sequence[str]) -> np.ndarray:
        if self.fixed:
            return np.array([self.answer(self.prepare(text)) for text in texts])
        from tlm_edge.runtime.classifier import batches_by_length
        from tlm_edge.runtime.tokenize import pad

        token_ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        found = np.empty(len(texts), dtype=np.int64)
        for batch in batches_by_length([len(ids) for ids in token_ids], 2048):
            logits = self.run(*pad([token_ids[row] for row in batch], 0))[0]
            found[batch] = self.order[logits.argmax(axis=1)]
        return found


class Pipeline(Rival):
    """transformers' own pipeline; it tokenizes by itself."""

    separates = False

    def __init__(self, folder: Path, threads: int, labels: Sequence[str]) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        transformers.logging.set_verbosity_error()
        self.classify = transformers.pipeline("text-classification", model=str(folder), device="cpu")
        self.numbers = {label: number for number, label in enumerate(labels)}
        self.cut = {"truncation": True, "max_length": plain.LENGTH}

    def prepare(self, text: str) -> str:
        return text

    def answer(self, prepared: str) -> int:
        return self.numbers[self.classify(prepared, **self.cut)[0]["label"]]

    def label(self, texts: Sequence[str]) -> np.ndarray:
        answers = self.classify(list(texts), batch_size=BATCH, **self.cut)
        return np.array([self.numbers[answer["label"]] for answer in answers])
