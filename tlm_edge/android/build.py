"""The script build of the app: from sources and parts to a signed APK, without Gradle and Google's servers.

The same bytes come of the same sources, parts and models, up to the signature: see ``unsigned``.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlm_edge import __version__
from tlm_edge.android.compile import ENGINES, Project, cached, compile_core, compile_engine, compile_module
from tlm_edge.android.elf import LARGE_PAGE, read_elf
from tlm_edge.android.toolchain import java, run
from tlm_edge.files import new_file
from tlm_edge.runtime.bundle import Bundle, open_bundle
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE, is_inside
from tlm_edge.shipped import evaluation_texts, models_folder

PACKAGE = "org.tlmedge.demo"
ABIS = ("arm64-v8a", "x86_64")
#: The shipped bundles in the app, both for ONNX Runtime: the committee and the deep model that it is compared with.
MODELS = ("agnews-bert-6/onnx-int8", "agnews-committee/onnx-int8")
#: The date of everything in the APK: the first that a zip can tell.
_DATE = (1981, 1, 1, 1, 1, 2)
#: Never compressed: Android maps it into memory where it lies.
_STORED = ("resources.arsc",)
_PASSWORD = "android"


@dataclass(frozen=True)
class Apk:
    """What was built: engines and ABIs in it, and libraries whose segments can't be loaded on 16 KB pages."""

    file: Path
    engines: tuple[str, ...]
    abis: tuple[str, ...]
    small_pages: tuple[str, ...]


def build(
    project: Project,
    out: Path,
    *,
    engines: Sequence[str] = ENGINES,
    abis: Sequence[str] = ABIS,
    bundles: Sequence[Bundle] = (),
) -> Apk:
    """Build, align and sign the app, with ``bundles`` beside the shipped ones that its engines run.

    Raises ``UserError`` if a part or program is missing, a bundle can't be run by these engines, or a step fails.
    """
    for engine in engines:
        if engine not in ENGINES:
            raise UserError(f"no engine '{engine}' in the script build: choose {', '.join(ENGINES)}")
    for abi in abis:
        if abi not in ("arm64-v8a", "armeabi-v7a", "x86", "x86_64"):
            raise UserError(f"no ABI '{abi}': choose {', '.join(ABIS)}")
    with tempfile.TemporaryDirectory(prefix="tlm-edge-apk-") as folder:
        plain, aligned = Path(folder) / "plain.apk", Path(folder) / "aligned.apk"
        small = unsigned(project, plain, engines, abis, bundles)
        run("zipalign", "-p", "4", plain, aligned)
        with new_file(out) as signed:
            _sign(aligned, signed)
    return Apk(out, tuple(engines), tuple(abis), small)


def unsigned(
    project: Project, out: Path, engines: Sequence[str], abis: Sequence[str], bundles: Sequence[Bundle] = ()
) -> tuple[str, ...]:
    """Write the APK as it is before signing; the libraries that need pages smaller than 16 KB."""
    resources = link_resources(project)
    entries: dict[str, bytes] = {}
    with zipfile.ZipFile(resources / "base.apk") as base:
        entries |= {name: base.read(name) for name in base.namelist()}
    for dex in sorted(dex_folder(project, engines).glob("*.dex")):
        entries[dex.name] = dex.read_bytes()
    core = project.folder / "core/src/main/resources"
    entries |= {str(file.relative_to(core)): file.read_bytes() for file in core.rglob("*.txt")}
    entries |= assets(engines, bundles)
    libraries = native_libraries(project, engines, abis)
    entries |= libraries
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if name in _STORED else zipfile.ZIP_DEFLATED
            archive.writestr(info, entries[name], compresslevel=9)
    return tuple(name for name, content in sorted(libraries.items()) if read_elf(content).alignment < LARGE_PAGE)


def link_resources(project: Project) -> Path:
    """A folder with ``base.apk`` (manifest and resources) and ``R.java``."""
    main = project.folder / "app/src/main"
    (platform,) = project.platform
    versions = catalog(project)

    def link(folder: Path) -> None:
        manifest = folder / "AndroidManifest.xml"
        # Gradle takes the package from its own files and refuses it here; aapt2 wants it.
        content = (main / "AndroidManifest.xml").read_text(encoding="utf-8")
        manifest.write_text(content.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1), encoding="utf-8")
        run("aapt2", "compile", "--dir", main / "res", "-o", folder / "res.zip")
        run(
            *("aapt2", "link", "-o", folder / "base.apk", "-I", platform, "--manifest", manifest, "--java", folder),
            *("--min-sdk-version", versions["minSdk"], "--target-sdk-version", versions["targetSdk"]),
            *("--version-code", str(_version_code(__version__)), "--version-name", __version__),
            *("--debug-mode", "--auto-add-overlay", folder / "res.zip"),
        )

    inputs = [main / "AndroidManifest.xml", main / "res", project.folder / "gradle/libs.versions.toml", Path(__file__)]
    return cached(f"resources-{__version__}", [*inputs, platform], link)


def compile_app(project: Project, engines: Sequence[str] = ENGINES) -> list[Path]:
    """Class files of everything that is ours: core, engines, the app, and ``R``."""
    r_java = next(link_resources(project).rglob("R.java"))

    def compile_r(folder: Path) -> None:
        run("javac", "-nowarn", "--release", "8", "-d", folder, r_java)

    core, r_classes = compile_core(project), cached("r", [r_java], compile_r)
    compiled = [core, *(compile_engine(project, engine, libraries(project, [engine])) for engine in engines)]
    classpath = [core, r_classes, *project.kotlin_library, *project.platform]
    app = compile_module(project, "app", [project.folder / "app/src/main/kotlin"], classpath)
    return [*compiled, r_classes, app]


def dex_folder(project: Project, engines: Sequence[str]) -> Path:
    """A folder with ``classes.dex``: ours, Kotlin's library, and the runtimes' Java side."""
    classes = compile_app(project, engines)
    jars = [*project.kotlin_library, *libraries(project, engines)]
    (dexer,) = project.files("dexer")

    def dex(folder: Path) -> None:
        files = sorted(file for root in classes for file in root.rglob("*.class"))
        arguments: list[str | Path] = [
            "--release",
            "--min-api",
            catalog(project)["minSdk"],
            "--lib",
            project.platform[0],
        ]
        java([dexer], "com.android.tools.r8.D8", *arguments, "--output", folder, *files, *jars, options=("-Xmx1g",))

    return cached("dex", [*classes, *jars, dexer], dex)


def libraries(project: Project, engines: Sequence[str]) -> list[Path]:
    """The Java side of the engines' runtimes: jars, and ``classes.jar`` of each AAR."""
    jars = []
    for file in (file for engine in engines for file in project.files(engine)):
        if file.suffix == ".jar":
            jars.append(file)
        elif file.suffix == ".aar":

            def unpack(folder: Path, archive: Path = file) -> None:
                with zipfile.ZipFile(archive) as aar:
                    (folder / "classes.jar").write_bytes(aar.read("classes.jar"))

            jars.append(cached(file.stem, [file], unpack) / "classes.jar")
    return jars


def native_libraries(project: Project, engines: Sequence[str], abis: Sequence[str]) -> dict[str, bytes]:
    """The runtimes' native libraries for ``abis``, by their name in the APK."""
    found = {}
    for file in (file for engine in engines for file in project.files(engine)):
        if file.suffix == ".so":
            content = file.read_bytes()
            found[f"lib/{read_elf(content).abi}/{file.name.rpartition('-')[2]}"] = content
        elif file.suffix == ".aar":
            with zipfile.ZipFile(file) as aar:
                # Beside jni/ there may be prefab/, whose libraries are linked against and are no part of an app.
                inside = [name for name in aar.namelist() if name.startswith("jni/") and name.endswith(".so")]
                found |= {f"lib/{name.removeprefix('jni/')}": aar.read(name) for name in inside}
    return {name: content for name, content in found.items() if name.split("/")[1] in abis}


def assets(engines: Sequence[str] = ENGINES, bundles: Sequence[Bundle] = ()) -> dict[str, bytes]:
    """The evaluation texts, the shipped bundles that ``engines`` run, and ``bundles``, by their names in the APK.

    Raises ``UserError`` if no engine runs one of ``bundles``, two have the same name, or there are none at all.
    """
    for manifest in (bundle.manifest for bundle in bundles):
        if manifest.target not in engines:
            raise UserError(
                f"{manifest.name} needs the engine {manifest.target}: build with it, or leave the bundle away"
            )
        if not is_inside(manifest.name) or "/" in manifest.name:
            raise UserError(f"a bundle is called {manifest.name!r}, which can't be a folder: export it by another name")
    shipped = [open_bundle(models_folder() / name) for name in MODELS]
    carried = [*(bundle for bundle in shipped if bundle.manifest.target in engines), *bundles]
    names = [bundle.manifest.name for bundle in carried]
    if not names:
        raise UserError(f"no shipped model runs in {', '.join(engines)}: name one with --bundle")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two bundles are called {', '.join(twice)}: leave one away, or export it by another name")
    found = {"assets/evaluation/agnews.jsonl": evaluation_texts("agnews").read_bytes()}
    for bundle in carried:
        for file in (MANIFEST_FILE, *bundle.manifest.files):
            found[f"assets/models/{bundle.manifest.name}/{file}"] = (bundle.folder / file).read_bytes()
    return found


def catalog(project: Project) -> dict[str, str]:
    """The versions of ``gradle/libs.versions.toml``."""
    content = tomllib.loads((project.folder / "gradle/libs.versions.toml").read_text(encoding="utf-8"))
    versions: dict[str, str] = content["versions"]
    return versions


def _version_code(version: str) -> int:
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    return major * 10_000 + minor * 100 + patch


def _sign(source: Path, out: Path) -> None:
    key = cache_root() / "android" / "debug.keystore"
    if not key.is_file():
        with tempfile.TemporaryDirectory(prefix="tlm-edge-key-") as folder:
            made = Path(folder) / key.name
            run(
                *("keytool", "-genkeypair", "-keystore", made, "-storepass", _PASSWORD, "-keypass", _PASSWORD),
                *("-alias", "debug", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000"),
                *("-dname", "CN=tlm-edge debug key of this machine"),
            )
            with new_file(key) as temporary:
                shutil.move(made, temporary)
    run(
        *("apksigner", "sign", "--ks", key, "--ks-pass", f"pass:{_PASSWORD}", "--min-sdk-version", "24"),
        *("--v1-signing-enabled", "false", "--v2-signing-enabled", "true", "--v3-signing-enabled", "true"),
        *("--in", source, "--out", out),
    )
