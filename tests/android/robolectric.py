"""Running the app's activities on the desktop's JVM, under Robolectric."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.android.jvm import run_junit
from tlm_edge.android.build import PACKAGE, assets, link_resources
from tlm_edge.android.compile import Project
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.shipped import models_folder

#: Set to a folder, the screenshots of a run are left there: docs/screenshots renews its own that way.
PICTURES_VARIABLE = "TLM_EDGE_SCREENSHOTS"


def run_app(
    project: Project,
    classpath: Sequence[Path],
    test: str,
    folder: Path,
    bundles: Sequence[Bundle] = (),
    properties: Mapping[str, object] | None = None,
) -> Path:
    """Run a class of tests with ``bundles`` among the app's models; the folder below ``folder`` of what they wrote."""
    out = folder / "out"
    (device,) = project.files("robolectric-device")
    given = {
        "models": models_folder(),
        "records": out,
        "robolectric.offline": "true",
        "robolectric.dependency.dir": device.parent,
        "user.language": "en",
    }
    run_junit([_told(project, folder, bundles), *classpath], [test], given | dict(properties or {}))
    if pictures := os.environ.get(PICTURES_VARIABLE):
        for picture in out.glob("*.png"):
            shutil.copy(picture, pictures)
    return out


def _told(project: Project, folder: Path, bundles: Sequence[Bundle]) -> Path:
    """What the Android Gradle plugin would tell Robolectric: manifest, and resources with the assets in one archive."""
    told = folder / "told"
    config = told / "com/android/tools/test_config.properties"
    config.parent.mkdir(parents=True)
    resources, archive = link_resources(project), told / "app.apk"
    shutil.copy(resources / "base.apk", archive)
    with zipfile.ZipFile(archive, "a") as opened:
        for name, content in assets(bundles=bundles).items():
            opened.writestr(name, content)
    config.write_text(
        f"android_merged_manifest={resources}/AndroidManifest.xml\nandroid_resource_apk={archive}\n"
        f"android_custom_package={PACKAGE}\n",
        encoding="utf-8",
    )
    return told
