"""What can be told of the app's project without a JDK: its parts, its versions, its table of characters."""

from __future__ import annotations

import re
import runpy
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tlm_edge.android.build import MODELS, assets
from tlm_edge.android.compile import ENGINES, open_project
from tlm_edge.android.elf import read_elf
from tlm_edge.android.parts import Part, fetch, files_for
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder

APP = open_project().folder


def test_the_lock_agrees_with_the_version_catalog() -> None:
    versions = tomllib.loads((APP / "gradle/libs.versions.toml").read_text(encoding="utf-8"))["versions"]
    locked = {}
    for part in open_project().parts:
        if part.registry == "maven":
            group, artifact, version, _ = part.name.split(":")
            locked[f"{group}:{artifact}"] = version
    kotlin = "org.jetbrains.kotlin:kotlin-"
    assert locked[f"{kotlin}stdlib"] == locked[f"{kotlin}compiler-embeddable"] == versions["kotlin"]
    assert locked["com.microsoft.onnxruntime:onnxruntime"] == versions["onnxruntime"]
    tflite = "org.tensorflow:tensorflow-lite"
    assert locked[tflite] == locked[f"{tflite}-api"] == versions["tflite"]
    assert locked["junit:junit"] == versions["junit"]
    assert locked["org.robolectric:robolectric"] == versions["robolectric"]


def test_gradle_puts_in_the_models_that_the_build_puts_in() -> None:
    gradle = (APP / "app/build.gradle.kts").read_text(encoding="utf-8")
    assert all(f'"{name.partition("/")[0]}"' in gradle for name in MODELS)


@pytest.mark.parametrize(
    ("changes", "engines", "message"),
    [
        ({"target": "tflite"}, ["onnx"], "mine needs the engine tflite"),
        ({"name": "../mine"}, ["onnx"], "can't be a folder"),
        ({"name": "agnews-committee-onnx-int8"}, ["onnx"], "two bundles are called agnews-committee-onnx-int8"),
        (None, ["tflite"], "no shipped model runs in tflite: name one with --bundle"),
    ],
)
def test_bundles_that_the_app_can_t_carry_are_refused(changes: Any, engines: list[str], message: str) -> None:
    bundle = open_bundle(models_folder() / "agnews-bert-1/onnx-int8")
    bundles = (
        [] if changes is None else [replace(bundle, manifest=replace(bundle.manifest, **{"name": "mine"} | changes))]
    )
    with pytest.raises(UserError, match=message):
        assets(engines, bundles)


def test_the_engine_tells_the_version_of_the_catalog() -> None:
    versions = tomllib.loads((APP / "gradle/libs.versions.toml").read_text(encoding="utf-8"))["versions"]
    (engine,) = (APP / "engines/executorch/src/main").rglob("ExecutorchEngine.kt")
    assert f'version = "{versions["executorch"]}"' in engine.read_text(encoding="utf-8")


def test_every_part_is_pinned_once() -> None:
    parts = open_project().parts
    assert len({part.file_name for part in parts}) == len(parts)
    assert all(re.fullmatch("[0-9a-f]{64}", part.sha256) for part in parts)
    assert {part.registry for part in parts} == {"maven", "pypi", "npm"}


def test_altered_and_missing_parts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path))
    part = Part("junit", "maven", "junit:junit:4.13.2:jar", "0" * 64)
    with pytest.raises(UserError, match="make setup-android"):
        files_for([part], "junit")
    part.file.parent.mkdir(parents=True)
    part.file.write_bytes(b"another")
    with pytest.raises(UserError, match="is not the file"):
        files_for([part], "junit")


def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="mvn is not installed"):
        fetch([Part("junit", "maven", "junit:junit:4.13.2:jar", "0" * 64)], print)


def test_the_table_of_characters_is_that_of_the_tokenizers_library() -> None:
    script = runpy.run_path(str(APP / "core/write_unicode.py"))
    assert script["TABLE"].read_text(encoding="ascii") == script["table"](), "run android_demo/core/write_unicode.py"


def test_core_and_engines_know_nothing_of_android() -> None:
    for module in ("core", "engines"):
        for source in (APP / module).rglob("*.kt"):
            assert not re.search(r"^import (android|androidx)\.", source.read_text(encoding="utf-8"), re.MULTILINE), (
                source
            )


def test_every_module_is_part_of_the_gradle_project() -> None:
    settings = (APP / "settings.gradle.kts").read_text(encoding="utf-8")
    modules = ["core", "app", *(f"engines:{engine}" for engine in ENGINES)]
    assert sorted(re.findall(r'":([\w:]+)"', settings)) == sorted(modules)
    for folder in ("core", "app", "engines"):
        assert (APP / folder / "build.gradle.kts").is_file()
    engines = (APP / "engines/build.gradle.kts").read_text(encoding="utf-8")
    libraries = re.findall(r'"(\w+)" to libs\.([\w.]+)', engines)
    assert sorted(engine for engine, _ in libraries) == sorted(ENGINES)
    catalog = tomllib.loads((APP / "gradle/libs.versions.toml").read_text(encoding="utf-8"))["libraries"]
    assert {library.replace(".", "-") for _, library in libraries} <= set(catalog)


def test_every_string_of_the_app_is_used_and_there() -> None:
    strings = ElementTree.parse(APP / "app/src/main/res/values/strings.xml").getroot()  # noqa: S314 - our own file
    names = {entry.attrib["name"] for entry in strings}
    code = "".join(source.read_text(encoding="utf-8") for source in (APP / "app/src/main").rglob("*.kt"))
    code += (APP / "app/src/main/AndroidManifest.xml").read_text(encoding="utf-8").replace("@string/", "R.string.")
    used = set(re.findall(r"R\.(?:string|array)\.(\w+)", code))
    assert used == names


def test_elf_files_that_are_none_are_refused() -> None:
    for content in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(100), b"MZ" + bytes(100)):
        with pytest.raises(ValueError, match="ELF|library"):
            read_elf(content)
