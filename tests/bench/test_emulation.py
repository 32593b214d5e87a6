"""The emulated machine: its userland, what is observed of it, and the estimate."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.emulation import emulated
from tests.tiny_models import labelled_texts
from tlm_edge.bench.devices import Address
from tlm_edge.bench.devices.emulated import EmulatedDevice, open_device
from tlm_edge.bench.emulation import cycles, tools
from tlm_edge.bench.emulation.cycles import block_cycles
from tlm_edge.bench.emulation.estimate import BAND, FACTOR, RATIO_BAND, estimate, microseconds
from tlm_edge.bench.emulation.machine import emulator_version, known_processors, require_emulation
from tlm_edge.bench.emulation.observe import Region
from tlm_edge.bench.emulation.sysroot import CONTENTS_FILE, is_intact
from tlm_edge.bench.emulation.tools import find_tool, require_tool
from tlm_edge.bench.job import Job
from tlm_edge.bench.profiles import profile_of
from tlm_edge.runtime.errors import UserError

MARKED = """
import os

def mark(kind):
    try:
        os.sched_get_priority_max(0x544C0000 | kind)
    except OSError:
        pass

"""
# fmul v0.4s, v1.4s, v2.4s, and the same with its own result: independent of the last one, and waiting for it.
INDEPENDENT, DEPENDENT = bytes.fromhex("20dc226e"), bytes.fromhex("00dc226e")


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    emulated("rpi4")
    return open_device(Address("rpi4", "emulated", profile="rpi4"))


@pytest.fixture(scope="module")
def counted(device, tiny_committee_bundle):
    """The outcomes of the same job, run twice."""
    job = Job("count", str(tiny_committee_bundle), tuple(labelled_texts()[0][:6]), 1, counted=3)
    return [device.work(job) for _ in range(2)]


def test_counts_repeat(counted):
    first, second = ([text["model_instructions"] for text in outcome["counted"]] for outcome in counted)
    assert sum(first) > 10_000
    assert first == second


def test_every_text_is_labelled_and_the_first_ones_counted(counted, device, tiny_committee_bundle):
    texts = tuple(labelled_texts()[0][:6])
    labels = device.work(Job("labels", str(tiny_committee_bundle), texts, 1))["labels"]
    assert counted[0]["labels"] == labels
    assert len(counted[0]["counted"]) == 3
    assert [text["tokens"] for text in counted[0]["counted"]] == counted[0]["tokens"]
    for text in counted[0]["counted"]:
        assert text["tokenize_instructions"] > 1000
        assert text["model_us"] > 0 < text["tokenize_us"]


def test_nothing_that_the_emulator_distorts_is_told(counted):
    assert not {"load_ms", "peak_rss_mb", "bare_rss_mb", "first_ms"} & set(counted[0])
    assert counted[0]["peak_mb"] > counted[0]["bare_mb"] > 5
    assert counted[0]["machine"]["memory_mb"] is None


def test_an_emulated_device_is_not_timed_nor_run_with_several_threads(device, tiny_bundle):
    with pytest.raises(UserError, match="can't be timed"):
        device.work(Job("latency", str(tiny_bundle), ("a text",), 1, inferences=1))
    with pytest.raises(UserError, match="--threads 1"):
        device.work(Job("count", str(tiny_bundle), ("a text",), 4, counted=1))


def test_a_worker_s_fault_comes_through(device, tmp_path):
    with pytest.raises(UserError, match="no bundle at"):
        device.work(Job("labels", str(tmp_path / "nothing"), ("a text",), 1))


def test_memory_is_the_program_s_own():
    script = MARKED + "mark(3)\nkept = bytearray(b'x') * 40_000_000\nmark(3)\ndel kept\nmark(3)\nprint('done')"
    status, output, errors, observation = emulated("rpi4").run(["-c", script])
    assert (status, output) == (0, "done\n"), errors
    before, during, after = observation.memory_mb
    assert during - before == pytest.approx(40, abs=1)
    assert after - before == pytest.approx(0, abs=1)
    assert observation.peak_mb == pytest.approx(during, abs=1)
    # The same Python here, as its own system tells it: the emulator adds tens of megabytes to that.
    told = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    native = subprocess.run([sys.executable, "-S", "-c", told], capture_output=True, text=True, check=True)
    assert before == pytest.approx(int(native.stdout) * 1024 / 1e6, abs=8)


def test_only_marked_regions_are_counted():
    script = MARKED + "mark(1)\nfor _ in range({}): pass\nmark(2)\nsum(range(100000))"
    turns = (1_000, 51_000, 101_000)
    regions = [emulated("rpi4").run(["-c", script.format(times)], regions=1)[3].regions for times in turns]
    assert [len(region) for region in regions] == [1, 1, 1]
    few, some, many = (region[0].instructions for region in regions)
    assert some - few > 50_000 * 10
    assert many - some == pytest.approx(some - few, rel=1e-3)
    assert regions[0][0].touched_mb > 0


def test_a_wrong_file_in_the_userland_is_noticed(tmp_path):
    root = emulated("rpi4").root
    assert is_intact(root)

    def altered(change) -> bool:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        (copy / "usr/bin").mkdir(parents=True)
        # The parts that matter here: some files, a link and their list.
        listed = json.loads((root / CONTENTS_FILE).read_text())
        chosen = ["proc/cpuinfo", "usr/bin/python3", "usr/bin/python3.11"]
        chosen = [name for name in chosen if name in listed["files"]]
        for name in chosen:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name, follow_symlinks=False)
        listed["files"] = {name: listed["files"][name] for name in chosen}
        (copy / CONTENTS_FILE).write_text(json.dumps(listed))
        assert is_intact(copy)
        change(copy)
        return not is_intact(copy)

    assert altered(lambda copy: (copy / "proc/cpuinfo").write_text("processor: 0"))
    assert altered(lambda copy: (copy / "proc/cpuinfo").unlink())
    assert altered(lambda copy: (copy / "usr/bin/more").write_text("more"))
    assert altered(lambda copy: ((copy / "usr/bin/python3").unlink(), (copy / "usr/bin/python3").symlink_to("evil")))
    assert altered(lambda copy: (copy / CONTENTS_FILE).write_text("{"))


def test_an_altered_userland_is_made_anew(tmp_path, monkeypatch):
    from tlm_edge.bench.emulation import sysroot

    machine = emulated("rpi4")
    places = tmp_path / "emulation/sysroots"
    base = next(path for path in machine.root.parent.iterdir() if machine.root.name.startswith(f"{path.name}-cortex"))
    shutil.copytree(base, places / base.name, symlinks=True)
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path))
    first = sysroot.sysroot(machine.cores)
    cpuinfo = (first / "proc/cpuinfo").read_text()
    (first / "proc/cpuinfo").write_text("another processor")
    assert sysroot.sysroot(machine.cores) == first
    assert (first / "proc/cpuinfo").read_text() == cpuinfo
    assert not [place for place in places.iterdir() if place.name.startswith(".")]


def test_cycles_follow_the_pipeline():
    if find_tool("llvm-mca") is None:
        pytest.skip("there is no llvm-mca of version 19 or later")
    unreadable, call = b"\xff\xff\xff\xff", bytes.fromhex("00000094")
    blocks = [INDEPENDENT * 8, DEPENDENT * 8, DEPENDENT * 16, DEPENDENT * 8 + call, unreadable + INDEPENDENT * 8]
    found = block_cycles(blocks, "cortex-a72")
    free, chained, twice, called, skipped = (found[block] for block in blocks)
    assert chained > 2 * free
    assert twice == pytest.approx(2 * chained, rel=0.1)
    assert called == pytest.approx(chained, rel=0.05)
    assert skipped == pytest.approx(free, abs=1)


def test_cycles_are_kept(monkeypatch):
    if find_tool("llvm-mca") is None:
        pytest.skip("there is no llvm-mca of version 19 or later")
    known = block_cycles([INDEPENDENT * 3], "cortex-a72")
    monkeypatch.setattr(cycles, "_analyse", None)
    assert block_cycles([INDEPENDENT * 3], "cortex-a72") == known


def test_an_unknown_pipeline_is_told():
    if find_tool("llvm-mca") is None:
        pytest.skip("there is no llvm-mca of version 19 or later")
    with pytest.raises(UserError, match="can't analyse arm64 code"):
        block_cycles([INDEPENDENT * 5], "cortex-a1")


def test_the_estimate_is_bound_by_memory():
    rpi4 = profile_of("rpi4")
    cores = rpi4.cores[0]
    computing = microseconds(1.8e6, 0.5, rpi4, cores)
    assert 1000 < computing < 2000
    assert microseconds(3.6e6, 0.5, rpi4, cores) == pytest.approx(2 * computing)
    assert microseconds(1.0, 100.0, rpi4, cores) == pytest.approx(1e3 * (100 - 1.048576) / 4.8, rel=0.01)


def test_what_stays_in_the_cache_costs_no_fetching():
    if find_tool("llvm-mca") is None:
        pytest.skip("there is no llvm-mca of version 19 or later")
    rpi4 = profile_of("rpi4")
    inside, outside = (
        estimate([Region({INDEPENDENT * 8: 100}, megabytes)], rpi4, rpi4.cores[0])[0] for megabytes in (1.0, 10.0)
    )
    assert inside.instructions == outside.instructions == 800
    assert outside.microseconds > 10 * inside.microseconds


def test_a_missing_tool_is_one_line_that_names_the_command(monkeypatch):
    monkeypatch.setattr(tools.shutil, "which", lambda _: None)
    for name in tools.TOOLS:
        with pytest.raises(UserError, match=rf"needs {name}.*make setup-emulation.*apt-get install"):
            require_tool(name)


def test_an_old_llvm_is_not_taken(monkeypatch):
    monkeypatch.setattr(tools.shutil, "which", lambda name: "/bin/true" if name == "llvm-mca" else None)
    monkeypatch.setattr(tools, "_version", lambda _: 14)
    assert find_tool("llvm-mca") is None
    monkeypatch.setattr(tools, "_version", lambda _: 19)
    assert find_tool("llvm-mca") == "/bin/true"


def test_a_processor_that_qemu_does_not_know_is_told():
    emulated("rpi4")
    if "cortex-a710" in known_processors(require_tool("qemu-aarch64")):
        pytest.skip(f"{emulator_version()} knows it")
    with pytest.raises(UserError, match=r"has no model of Cortex-X3: this device can be measured, not emulated"):
        require_emulation(profile_of("pixel8").cores[0])
    with pytest.raises(UserError, match="nothing to emulate it by"):
        open_device(Address("android", "emulated", profile="android"))


def test_the_page_of_emulation_is_current():
    root = Path(__file__).parents[2]
    script = runpy.run_path(str(root / "docs/write_emulation.py"))
    assert (root / "docs/emulation.md").read_text(encoding="utf-8") == script["page"](), "run `make docs`"


def test_the_estimate_holds_what_it_claims():
    """The committed validation: every claimed reference is within the band and ±40 %, every pair within its own."""
    result = json.loads((Path(__file__).parents[2] / "benchmarks/results/emulated_latency.json").read_bytes())
    assert (result["factor"]["used"], tuple(result["band"]["used"])) == (FACTOR, BAND)
    assert tuple(result["ratio_band"]["used"]) == RATIO_BAND
    claimed = [one for one in result["predictions"] if not one["left_out"]]
    assert len(claimed) >= 9
    for one in claimed:
        assert BAND[0] <= one["published_ms"] / one["predicted_ms"] <= BAND[1], one
        assert abs(one["predicted_ms"] / one["published_ms"] - 1) <= 0.4, one
    assert all(RATIO_BAND[0] <= pair["ratio"] <= RATIO_BAND[1] for pair in result["pairs"])


@pytest.mark.parametrize("board", sorted((Path(__file__).parents[2] / "benchmarks/boards").glob("*.toml")))
def test_the_boards_of_published_measurements_are_profiles(board):
    assert profile_of(str(board)).references


def test_the_board_in_the_documents_is_a_profile(tmp_path):
    text = (Path(__file__).parents[2] / "docs/devices.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "nanopi-m4.toml").write_text(shown, encoding="utf-8")
    assert profile_of(str(tmp_path / "nanopi-m4.toml")).cores[0].qemu == "cortex-a72"
