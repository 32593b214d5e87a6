"""Running the app's JUnit tests on the desktop's JVM."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_junit(classpath: Sequence[Path], classes: Sequence[str], properties: Mapping[str, object]) -> str:
    """Run test classes and give what they printed; fails with the failures, and if nothing was tested."""
    options = [f"-D{name}={value}" for name, value in properties.items()]
    command = ["java", "-Xmx2g", *options, "-cp", ":".join(str(path) for path in classpath)]
    done = subprocess.run([*command, "org.junit.runner.JUnitCore", *classes], capture_output=True, text=True)
    output = done.stdout + done.stderr
    tested = re.search(r"^OK \((\d+) tests?\)$", output, re.MULTILINE)
    assert done.returncode == 0 and tested and int(tested[1]) > 0, output[-20_000:]
    return output
