"""What the repository promises about itself: its architecture, its lock, its documents."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tlm_edge import __version__
from tlm_edge.cli import app
from tlm_edge.extras import EXTRAS

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LONGEST_FILE = 450

# The rooms of the house and what each may import (docs/architecture.md). A module at the top level is a room too.
FOUNDATION = {"runtime", "files", "extras", "quiet", "hub", "alone", "interruption", "shipped", "cluster"}
MAY_IMPORT = {
    "runtime": set(),
    "files": {"runtime"},
    "extras": {"runtime"},
    "quiet": set(),
    "cards": set(),
    "alone": {"runtime"},
    "interruption": set(),
    "hub": {"runtime", "extras"},
    "cluster": {"runtime", "extras"},
    "shipped": {"runtime", "hub"},
    "data": FOUNDATION,
    "modeling": FOUNDATION | {"data"},
    "compile": FOUNDATION | {"modeling"},
    "catalog": FOUNDATION | {"modeling", "loading"},
    "loading": FOUNDATION | {"modeling"},
    "predict": FOUNDATION | {"data", "loading"},
    "robustness": FOUNDATION | {"cards", "data"},
    "training": FOUNDATION | {"cards", "data", "modeling", "compile", "loading"},
    "export": FOUNDATION | {"data", "modeling", "compile"},
    "bench": FOUNDATION | {"data", "modeling", "compile", "loading", "export"},
    "android": FOUNDATION | {"bench"},
    "report": FOUNDATION | {"data", "bench"},
    "doctor": FOUNDATION | {"bench", "export"},
    "quickstart": FOUNDATION | {"loading", "export", "bench", "report"},
    "reproduce": FOUNDATION | {"data", "modeling", "compile", "loading", "training", "report"},
    "__init__": {"runtime", "loading"},
    "__main__": {"cli"},
}


def tracked(*patterns: str) -> list[Path]:
    """Files that git tracks, or would track if they were added."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms that a module imports, wherever in its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            module = node.module or ""
            modules = [module]
            if module == "tlm_edge":
                modules += [f"tlm_edge.{name.name}" for name in node.names if name.name != "__version__"]
        else:
            continue
        for module in modules:
            package, _, rest = module.partition(".")
            if package == "tlm_edge":
                yield rest.partition(".")[0] or "__init__"


def test_arrows_point_downwards() -> None:
    wrong = []
    for path in (ROOT / "tlm_edge").rglob("*.py"):
        room = path.relative_to(ROOT / "tlm_edge").with_suffix("").parts[0]
        if room == "cli":
            continue
        assert room in MAY_IMPORT, f"say in MAY_IMPORT and docs/architecture.md what {room} may import"
        forbidden = set(imported_rooms(path)) - MAY_IMPORT[room] - {room, "__init__"}
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in sorted(forbidden)]
    assert not wrong


def test_the_table_of_arrows_has_no_cycle() -> None:
    order: list[str] = []
    remaining = {room: others - {room} for room, others in MAY_IMPORT.items() if room != "__main__"}
    while remaining:
        free = [room for room, others in remaining.items() if others <= set(order)]
        assert free, f"a cycle among {sorted(remaining)}"
        order += free
        remaining = {room: others for room, others in remaining.items() if room not in free}


def test_a_file_fits_in_the_head() -> None:
    lengths = {path.name: len(path.read_bytes().splitlines()) for path in tracked("*.py")}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}


# Written so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/(?!pi\b)\w")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|crates\.io|maven\.org|deb\.debian\.org|download\.pytorch\.org"
)
DATA_SUFFIXES = {".safetensors", ".onnx", ".tflite", ".pte", ".png", ".gz", ".zip", ".npz"}


def test_no_file_names_a_developer_s_machine_or_a_registry() -> None:
    wrong = []
    for path in tracked():
        if path.suffix in DATA_SUFFIXES:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if found := MACHINE_PATH.search(line) or REGISTRY.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {found.group()}")
    assert not wrong


def locked() -> dict[str, list[tuple[str, Marker | None, int]]]:
    """Package → its locked versions, with the marker and the number of hashes of each."""
    packages: dict[str, list[tuple[str, Marker | None, int]]] = {}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        requirement = Requirement(line.partition(" --hash=")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        name = canonicalize_name(requirement.name)
        packages.setdefault(name, []).append((pin.version, requirement.marker, line.count("--hash=sha256:")))
    return packages


def required() -> list[tuple[str, Requirement]]:
    """Every requirement of pyproject.toml with the part it belongs to; references to our own extras left out."""
    project = PYPROJECT["project"]
    parts = {"dependencies": project["dependencies"], **project["optional-dependencies"]}
    parts["build-system"] = PYPROJECT["build-system"]["requires"]
    pairs = [(part, Requirement(text)) for part, texts in parts.items() for text in texts]
    return [(part, requirement) for part, requirement in pairs if requirement.name != "tlm-edge"]


def test_the_lock_satisfies_every_requirement() -> None:
    packages = locked()
    wrong = []
    for part, requirement in required():
        versions = packages.get(canonicalize_name(requirement.name), [])
        if not versions or not all(requirement.specifier.contains(version) for version, _, _ in versions):
            wrong.append(f"{part}: {requirement} (locked: {[version for version, _, _ in versions]})")
    assert not wrong, "run `make lock`"


def test_the_lock_is_hashed_and_records_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert "@" not in text
    assert "#" not in text
    assert all(hashes > 0 for versions in locked().values() for _, _, hashes in versions)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_one_version_a_package_and_platform(python: str, system: str, machine: str) -> None:
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "platform_machine": machine,
    }
    for name, versions in locked().items():
        chosen = [version for version, marker, _ in versions if marker is None or marker.evaluate(environment)]
        assert len(chosen) <= 1, f"{name}: {chosen}"


def test_extras_are_those_that_the_code_names() -> None:
    assert set(PYPROJECT["project"]["optional-dependencies"]) == {*EXTRAS, "all", "dev"}


def test_the_light_installation_has_no_heavy_requirement() -> None:
    light = {canonicalize_name(requirement.name) for part, requirement in required() if part == "dependencies"}
    assert not light & {"torch", "transformers", "scikit-learn", "matplotlib", "datasets", "onnx"}


def test_the_ci_runs_the_makefile_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert set(commands) == {"set", "cd", "make"}
    assert lines[-1] == "make lint test", "pytest's summary comes last"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_make_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    explained = re.findall(r"^([a-z-]+):.*## \w", makefile, flags=re.MULTILINE)
    assert sorted(explained) == sorted(phony.split())


def test_the_command_reference_is_current() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "write_cli.py"))
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == script["reference"](), "run `make docs`"


PAGES = ("accuracy", "distillation", "few-labels", "goals", "performance", "rivals", "science", "targets")


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_of_figures_are_current(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    script = runpy.run_path(str(ROOT / "docs" / f"write_{name.replace('-', '_')}.py"))
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == script["page"](), "run `make docs`"


def test_the_citation_and_the_changelog_know_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == PYPROJECT["project"]["license"]
    (paper,) = citation["references"]
    assert {"type", "title", "authors", "journal", "volume", "year", "identifiers"} <= set(paper)
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def documents() -> list[Path]:
    return [path for path in tracked("*.md") if "tests" not in path.relative_to(ROOT).parts]


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in documents():
        prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        links = [link for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose) if "://" not in link]
        broken += [f"{document.relative_to(ROOT)}: {link}" for link in links if not (document.parent / link).exists()]
    assert not broken


def typed_commands(document: Path) -> Iterator[str]:
    """The command lines in a document's code blocks, continued lines joined, comments dropped."""
    for block in re.findall(r"```(?:console|bash|sh)\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"^(\$ |\.venv/bin/)", "", line.strip())
            if command.startswith(("tlm-edge ", "make ")):
                yield command


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in typed_commands(document):
        if document.name == "cli.md":
            continue  # generated from the commands themselves
        words = shlex.split(re.split(r"[|>]", line)[0], comments=True)
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets), line
            continue
        command = typer.main.get_command(app)
        for word in words[1:]:
            if word not in getattr(command, "commands", {}):
                break
            command = command.commands[word]  # type: ignore[attr-defined]
        assert not hasattr(command, "commands") or words[1].startswith("-"), f"no such command: {line}"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - known
        assert not unknown, f"{line}: {unknown}"
