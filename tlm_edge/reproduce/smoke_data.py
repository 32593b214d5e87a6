"""A corpus and a task that every machine has: the documentation inside Python's own standard library.

Small and narrow, but real English; it proves that a plan runs from text to findings, not what the findings are worth.
"""

from __future__ import annotations

import ast
import json
import re
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from tlm_edge.files import new_folder
from tlm_edge.runtime.errors import UserError

#: The task: which of these modules a sentence documents. Their docstrings are not in the corpus.
MODULES = ("_pydecimal", "asyncio", "email", "logging", "unittest")
TRAIN_ROWS, TEST_ROWS = 150, 60
_SEED = 0
# What some installations lack (tkinter), what only some versions have, and what is no documentation.
_LEFT_OUT = {
    "__pycache__", "dist-packages", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "site-packages", "test", "tests", "tkinter", "turtledemo", "venv",
}  # fmt: skip
_SENTENCE_END = re.compile(r"(?<=[.:!?])\s+(?=[A-Z(\"'`])|\n\s*\n")
_CODE = re.compile(r">>>|\.\.\. |^\s*[|+*-]|[=(){}\[\]]{2}|__\w+__")


def write_smoke_data(folder: Path) -> None:
    """Write ``corpus.jsonl`` (a document a line) and the task ``modules/{train,test}.jsonl`` into the new ``folder``.

    The corpus holds the docstrings of the standard library, a file a document, and the topics of Python's ``help()``;
    the task's rows are single sentences of ``MODULES``, 150 a label to train on and 60 to test on, no sentence twice.
    The same Python version writes the same files.

    Raises ``UserError`` if the library's sources aren't installed, or if ``folder`` holds anything.
    """
    corpus, sentences = [*_topics()], dict[str, list[str]]()
    for module, docstrings in _library():
        if module in MODULES:
            sentences.setdefault(module, []).extend(s for text in docstrings for s in _sentences(text))
        else:
            corpus.append("\n\n".join(docstrings))
    seen = set[str]()
    splits: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for module in MODULES:
        own = [s for s in dict.fromkeys(sentences.get(module, [])) if s not in seen]
        seen |= set(own)
        if len(own) < TRAIN_ROWS + TEST_ROWS:
            raise UserError(
                f"{_home()}: its sources document {module} in {len(own)} sentences, not {TRAIN_ROWS + TEST_ROWS}; "
                "use a Python whose standard library is there with its docstrings"
            )
        order = np.random.default_rng(_SEED).permutation(len(own))
        rows = [{"text": own[index], "label": module.removeprefix("_py")} for index in order]
        splits["train"] += rows[:TRAIN_ROWS]
        splits["test"] += rows[TRAIN_ROWS : TRAIN_ROWS + TEST_ROWS]
    with new_folder(folder) as unfinished:
        (unfinished / "modules").mkdir()
        _write(unfinished / "corpus.jsonl", [{"text": text} for text in corpus])
        for name, split in splits.items():
            _write(unfinished / "modules" / f"{name}.jsonl", split)


def _home() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _library() -> Iterator[tuple[str, list[str]]]:
    """Each source file's docstrings with the module or package of the top level that it is of; nothing is imported."""
    for entry in sorted(entry for entry in _home().iterdir() if entry.name not in _LEFT_OUT):
        for file in sorted(entry.rglob("*.py")) if entry.is_dir() else [entry]:
            inside = not _LEFT_OUT & set(file.relative_to(_home()).parts)
            if inside and file.suffix == ".py" and (docstrings := list(_docstrings(file))):
                yield entry.stem, docstrings


def _docstrings(file: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return  # a template or a file of another version among the sources
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text


def _topics() -> Iterator[str]:
    """The language reference as ``help()`` shows it."""
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    yield from (text for _, text in sorted(topics.items()))


def _sentences(docstring: str) -> Iterator[str]:
    for part in _SENTENCE_END.split(docstring):
        sentence = " ".join(part.split())
        if 5 <= len(sentence.split()) <= 60 and not _CODE.search(sentence):
            yield sentence


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
