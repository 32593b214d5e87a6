"""The APK of the script build, looked at with Android's own tools."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tlm_edge.android.build import ABIS, MODELS, PACKAGE, Apk, build, libraries, native_libraries, unsigned
from tlm_edge.android.compile import ENGINES, Project
from tlm_edge.android.elf import LARGE_PAGE, read_elf
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def apk(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Apk:
    """The app as `make apk` builds it."""
    return build(project, tmp_path_factory.mktemp("apk") / "demo.apk")


def tool(*words: str | Path) -> str:
    command = [str(word) for word in words]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def test_badging(apk: Apk) -> None:
    badging = tool("aapt2", "dump", "badging", apk.file)
    assert f"package: name='{PACKAGE}'" in badging
    assert "sdkVersion:'24'" in badging
    assert "targetSdkVersion:'34'" in badging
    assert "native-code: 'arm64-v8a' 'x86_64'" in badging
    assert "launchable-activity: name='org.tlmedge.demo.MainActivity'" in badging
    assert "uses-permission" not in badging


def test_only_the_launcher_and_the_share_target_are_exported(apk: Apk) -> None:
    tree = tool("aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", apk.file)
    components = re.split(r"E: (?=activity|provider|service|receiver)", tree)[1:]
    exported = {
        re.search(r'name\(0x\w+\)="([\w.]+)"', part)[1]
        for part in components
        if re.search(r"exported\(0x\w+\)=true", part)
    }  # type: ignore[index]
    assert exported == {"org.tlmedge.demo.MainActivity", "org.tlmedge.demo.Share"}
    assert len(components) == 3
    assert "debuggable" in tree, "run-as, which brings records home, needs it"


def test_the_signature(apk: Apk) -> None:
    verified = tool("apksigner", "verify", "--verbose", "--min-sdk-version", "24", apk.file)
    assert "v2 scheme (APK Signature Scheme v2): true" in verified
    assert "v3 scheme (APK Signature Scheme v3): true" in verified
    tool("zipalign", "-c", "-p", "4", apk.file)


def test_an_altered_apk_is_found_out(apk: Apk, tmp_path: Path) -> None:
    content = bytearray(apk.file.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "altered.apk").write_bytes(content)
    with pytest.raises(subprocess.CalledProcessError):
        tool("apksigner", "verify", "--min-sdk-version", "24", tmp_path / "altered.apk")


def test_the_bytecode_is_for_old_androids(apk: Apk, tmp_path: Path) -> None:
    with zipfile.ZipFile(apk.file) as archive:
        dexes = [name for name in archive.namelist() if name.endswith(".dex")]
        archive.extractall(tmp_path, dexes)
    assert dexes
    found = set()
    for name in dexes:
        listing = tool("dexdump", "-d", tmp_path / name)
        assert "invoke-custom" not in listing
        assert "invoke-polymorphic" not in listing
        for part in listing.split("\nClass #")[1:]:
            own = re.search(r"Class descriptor  : 'Lorg/tlmedge/([\w/$]+);'", part)
            if own is not None:
                found.add(own[1])
                assert "Ljava/nio/file/" not in part, f"{own[1]}: not before Android 8"
    engines = {f"engines/{name}Engine" for name in ("Onnx", "Tflite", "Executorch")}
    assert engines | {"core/Tokenizer", "demo/MainActivity", "demo/BenchInstrumentation"} <= found


def test_native_libraries(apk: Apk) -> None:
    with zipfile.ZipFile(apk.file) as archive:
        libraries = {name: archive.read(name) for name in archive.namelist() if name.endswith(".so")}
    assert {name.split("/")[1] for name in libraries} == set(ABIS)
    for name, content in libraries.items():
        elf = read_elf(content)
        assert elf.abi == name.split("/")[1]
        assert (elf.alignment >= LARGE_PAGE) == (name not in apk.small_pages)
    # TensorFlow Lite 2.16.1, the last on Maven Central, is the one that can't be loaded there.
    assert {name.split("/")[-1] for name in apk.small_pages} == {"libtensorflowlite_jni.so"}


def test_nothing_in_the_app_can_send_anything(apk: Apk) -> None:
    """Besides the permission that it doesn't ask for: no runtime knows a socket, a server's name or an HTTP client.

    ONNX Runtime for Linux does from 1.29 on, to send telemetry: a newer one for Android has to be looked at anew.
    """
    with zipfile.ZipFile(apk.file) as archive:
        code = {name: archive.read(name) for name in archive.namelist() if name.endswith((".so", ".dex"))}
    calls = ("socket", "connect", "sendto", "getaddrinfo", "gethostbyname")
    classes = ("Ljava/net/Socket;", "Ljava/net/HttpURLConnection;", "Ljavax/net/ssl/SSLSocket;")
    for name, content in code.items():
        words = classes if name.endswith(".dex") else calls
        assert not [word for word in words if _is_named(word, name, content)], name
        assert b"events.data.microsoft.com" not in content, name
    for word, suffix in (("dlopen", ".so"), ("Ljava/io/File;", ".dex")):  # that what is there is found
        assert any(_is_named(word, name, content) for name, content in code.items() if name.endswith(suffix))


def _is_named(word: str, file: str, content: bytes) -> bool:
    """Whether ``word`` is among the strings of an ELF or, each with its length before it, of a DEX file."""
    before = len(word) if file.endswith(".dex") else 0
    return bytes([before]) + word.encode() + b"\0" in content


def test_libraries_ask_for_no_permission(project: Project) -> None:
    """Gradle would add what their manifests ask for to the app's."""
    archives = [file for engine in ENGINES for file in project.files(engine) if file.suffix == ".aar"]
    assert len(archives) == 4
    for file in archives:
        with zipfile.ZipFile(file) as archive:
            assert b"uses-permission" not in archive.read("AndroidManifest.xml"), file


def test_native_methods_that_java_declares_are_there(project: Project) -> None:
    """In the libraries for arm64, which never ran here, as a symbol for each (JNI specification, chapter 2)."""
    for engine, package in (("onnx", "ai/onnxruntime/"), ("tflite", "org/tensorflow/lite/")):
        code = b"".join(native_libraries(project, [engine], ["arm64-v8a"]).values())
        symbols = {symbol.decode().partition("__")[0] for symbol in re.findall(rb"Java_[A-Za-z0-9_]+", code)}
        declared = {
            f"Java_{method.replace('_', '_1').replace('/', '_').replace('$', '_00024')}"
            for method in _native_methods(libraries(project, [engine]), package)
        }
        assert len(declared) > 30
        assert declared <= symbols, sorted(declared - symbols)
    # ExecuTorch registers its methods by itself when it is loaded.
    code = native_libraries(project, ["executorch"], ["arm64-v8a"])["lib/arm64-v8a/libexecutorch.so"]
    for name in (b"JNI_OnLoad", b"org/pytorch/executorch/Module", b"XnnpackBackend", b"quantized_decomposed::"):
        assert name in code


def _native_methods(jars: list[Path], package: str) -> set[str]:
    """``package/Class/method`` of every native method in ``jars``."""
    found = set()
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            classes = [name.removesuffix(".class") for name in archive.namelist() if name.startswith(package)]
        for part in tool("javap", "-p", "-cp", jar, *(name for name in classes if not name.endswith("/"))).split("\n}"):
            (name, *_) = re.findall(r"(?:class|interface|enum) ([\w.$]+)", part) or [""]
            methods = re.findall(r" native [^(]* (\w+)\(", part)
            found |= {f"{name.replace('.', '/')}/{method}" for method in methods}
    return found


def test_the_models_are_whole(apk: Apk) -> None:
    with zipfile.ZipFile(apk.file) as archive:
        for model in MODELS:
            manifest = json.loads((models_folder() / model / "manifest.json").read_text(encoding="utf-8"))
            for name, record in manifest["files"].items():
                content = archive.read(f"assets/models/{manifest['name']}/{name}")
                assert hashlib.sha256(content).hexdigest() == record["sha256"]


def test_signing_and_aligning_change_no_file(project: Project, apk: Apk, tmp_path: Path) -> None:
    unsigned(project, tmp_path / "plain.apk", ENGINES, ABIS)
    with zipfile.ZipFile(tmp_path / "plain.apk") as plain, zipfile.ZipFile(apk.file) as signed:
        assert {entry.filename: entry.CRC for entry in plain.infolist()} == {
            entry.filename: entry.CRC for entry in signed.infolist()
        }


def test_compiling_anew_gives_the_same_bytes(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the first build is reused: the parts alone are lent to an empty cache."""
    unsigned(project, tmp_path / "first.apk", ["onnx"], ["arm64-v8a"])
    cache = tmp_path / "cache/android"
    cache.mkdir(parents=True)
    for part in project.parts:
        (cache / part.file_name).symlink_to(part.file)
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "cache"))
    unsigned(project, tmp_path / "second.apk", ["onnx"], ["arm64-v8a"])
    assert (tmp_path / "first.apk").read_bytes() == (tmp_path / "second.apk").read_bytes()


def test_size_budgets(project: Project, apk: Apk, tmp_path: Path) -> None:
    assert apk.file.stat().st_size <= 60e6
    small = tmp_path / "small.apk"
    options = ["--engine", "onnx", "--abi", "arm64-v8a", "--out", small]
    said = tool(sys.executable, "-m", "tlm_edge", "android", "build", *options)
    assert small.stat().st_size <= 25e6
    assert "onnx, arm64-v8a" in said and "16 KB pages" not in said


def test_what_can_t_be_built_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no engine 'coreml' in the script build"):
        build(project, tmp_path / "app.apk", engines=["coreml"])
    with pytest.raises(UserError, match="no ABI 'mips'"):
        build(project, tmp_path / "app.apk", abis=["mips"])
    assert not list(tmp_path.iterdir())
