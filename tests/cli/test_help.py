"""Help answers at once: no command imports a heavy library to say what it does."""

from __future__ import annotations

import json
import subprocess
import sys

import typer.main

from tests.cli.commands import command_paths
from tlm_edge.cli import app

PATHS = list(command_paths(typer.main.get_command(app)))

# What takes longer to import than the 0.3 s that a help text may take, or belongs to an extra.
HEAVY = {
    "accelerate", "ai_edge_litert", "ai_edge_quantizer", "datasets", "executorch", "huggingface_hub", "jax", "jinja2",
    "litert_torch", "matplotlib", "numpy", "onnx", "onnxruntime", "optimum", "pandas", "pyarrow", "pydantic",
    "safetensors", "scipy", "sklearn", "tokenizers", "torch", "torchao", "transformers",
}  # fmt: skip

# Asks one process for every help text in turn and reports what each printed and what had been imported by then.
ASK_ALL = """
import contextlib, io, json, sys
from tlm_edge.cli import app
from tlm_edge.cli.outcome import run
answers = []
for path in json.loads(sys.argv[1]):
    sys.argv = ["tlm-edge", *path, "--help"]
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(printed):
        status = run(app)
    printed.seek(0)
    modules = {name.partition(".")[0] for name in sys.modules}
    answers.append({"path": path, "status": status, "text": printed.read(), "modules": sorted(modules)})
print(json.dumps(answers))
"""


def test_every_help_is_light_and_complete() -> None:
    process = subprocess.run(
        [sys.executable, "-c", ASK_ALL, json.dumps(PATHS)], capture_output=True, text=True, check=True
    )
    answers = json.loads(process.stdout)
    assert len(answers) == len(PATHS) > 10
    for answer in answers:
        command = " ".join(["tlm-edge", *answer["path"]])
        assert answer["status"] == 0, command
        assert f"Usage: {command}" in answer["text"]
        assert not HEAVY & set(answer["modules"]), f"{command} --help imports too much"
    assert process.stderr == ""


def test_every_command_says_what_it_does_and_every_option_has_a_help() -> None:
    for path in PATHS:
        command = typer.main.get_command(app)
        for word in path:
            command = command.commands[word]  # type: ignore[attr-defined]
        name = " ".join(path) or "tlm-edge"
        assert command.help, f"{name} has no docstring"
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_the_version_is_the_package_s() -> None:
    from tlm_edge import __version__

    process = subprocess.run(
        [sys.executable, "-m", "tlm_edge", "--version"], capture_output=True, text=True, check=True
    )
    assert process.stdout == f"tlm-edge {__version__}\n"
