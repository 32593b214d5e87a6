"""A stand-in for adb and a phone, of which there is none in CI: a folder is the phone, the desktop's JVM its app.

Run as ``pretend_adb.py PHONE_FOLDER adb-arguments…``. ``phone.json`` in the folder tells the devices that are seen, the
class path of the app's own code, and how the phone misbehaves, if it does.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

APP = "org.tlmedge.demo"


def main(phone: Path, words: list[str]) -> int:
    told = json.loads((phone / "phone.json").read_text())
    with (phone / "log.txt").open("a") as log:
        log.write(shlex.join(words) + "\n")
    if words[0] == "devices":
        more = " product:oriole model:Pixel_6 device:oriole" if words[1:] == ["-l"] else ""
        print("List of devices attached")
        print("".join(f"{serial}\t{state}{more}\n" for serial, state in told["devices"].items()))
        return 0
    assert words.pop(0) == "-s" and words.pop(0) in told["devices"]
    match words:
        case ["install", "-r", file]:
            return install(phone, Path(file), told.get("install", "Success"))
        case ["push", source, target]:
            shutil.copyfile(source, inside(phone, target))
            return 0
        case ["shell" | "exec-out", line]:
            return shell(phone, shlex.split(line), told)  # a real phone's shell takes the line apart as well
    raise AssertionError(words)


def install(phone: Path, file: Path, answer: str) -> int:
    if answer != "Success":
        print(f"adb: failed to install: Failure [{answer}]", file=sys.stderr)
        return 1
    shutil.copyfile(file, phone / "app.apk")
    print("Performing Streamed Install\nSuccess")
    return 0


def shell(phone: Path, words: list[str], told: dict[str, object]) -> int:
    home = phone / "data/user/0" / APP
    match words:
        case ["command", "-v", _]:
            return 1  # there is no Python on a phone
        case ["pm", "path", name]:
            installed = name == APP and (phone / "app.apk").exists()
            print(f"package:/data/app/{APP}/base.apk" if installed else "")
            return 0 if installed else 1
        case ["mkdir", "-p", path]:
            inside(phone, path).mkdir(parents=True, exist_ok=True)
        case ["rm", "-rf", path]:
            shutil.rmtree(inside(phone, path), ignore_errors=True)
        case ["run-as", name, *rest] if name == APP:
            home.mkdir(parents=True, exist_ok=True)
            return run_as(phone, home, rest)
        case ["am", "instrument", "-w", "-r", *rest]:
            return instrument(phone, home, rest, told)
        case _:
            print(f"sh: {words[0]}: not found", file=sys.stderr)
            return 127
    return 0


def run_as(phone: Path, home: Path, words: list[str]) -> int:
    match words:
        case ["mkdir", "-p", path]:
            (home / path).mkdir(parents=True, exist_ok=True)
        case ["cp", "-r", source, target]:
            shutil.copytree(inside(phone, source), home / target, dirs_exist_ok=True)
        case ["cat", path]:
            if not (home / path).exists():
                print(f"cat: {path}: No such file or directory", file=sys.stderr)
                return 1
            sys.stdout.buffer.write((home / path).read_bytes())
        case ["rm", "-rf", path]:
            shutil.rmtree(home / path, ignore_errors=True)
        case _:
            raise AssertionError(words)
    return 0


def instrument(phone: Path, home: Path, words: list[str], told: dict[str, object]) -> int:
    assert words.pop() == f"{APP}/.BenchInstrumentation"
    given = dict(zip(words[1::3], words[2::3], strict=True))
    assert words[::3] == ["-e"] * len(given)
    if told.get("dies"):
        print("INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_CODE: 0")
        return 0
    out = home / "files/records/bench.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    if told.get("garbles"):
        out.write_text('[{"format": "tlm-edge-record"')
    else:
        bundles = [home / "files/bench" / name for name in given["bundles"].split(",")]
        command = ["java", "-cp", told["classpath"], "org.tlmedge.engines.PretendPhone", out, told["texts"]]
        done = subprocess.run(
            [str(word) for word in (*command, given["profile"], given["command"], *bundles)],
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            error = next(line for line in done.stderr.splitlines() if "UserError" in line).partition("UserError: ")[2]
            print(f"INSTRUMENTATION_RESULT: tlm_error={error}\nINSTRUMENTATION_CODE: 0")
            return 0
    print(f"INSTRUMENTATION_RESULT: tlm_records={out}\nINSTRUMENTATION_CODE: -1", flush=True)
    return 0


def inside(phone: Path, path: str) -> Path:
    assert path.startswith("/data/local/tmp/"), path
    return phone / path.lstrip("/")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
