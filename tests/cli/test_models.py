"""``export``, ``verify``, ``inspect``, ``evaluate`` and ``predict`` as they are typed."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tiny_models import LABELS, labelled_texts
from tlm_edge.cli import app
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import evaluation_texts, shipped_names

TEXTS = ["Shares fell after the bank's report", "The striker scored twice", ""]


def invoke(*arguments, stdin: str | bytes | None = None):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if isinstance(result.exception, UserError):
        raise result.exception
    return result


def typed(*arguments, stdin: bytes | None = None, cwd: Path | None = None):
    command = [sys.executable, "-m", "tlm_edge", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False)


def json_lines(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(params=["tiny_checkpoint", "tiny_committee", "tiny_bundle", "tiny_committee_bundle"])
def model(request) -> Path:
    return request.getfixturevalue(request.param)


def test_predict_any_model(model):
    result = invoke("predict", model, *TEXTS, "--json", "--threads", 1)
    rows = json_lines(result.stdout)
    assert [row["text"] for row in rows] == TEXTS
    for row in rows:
        assert list(row) == ["text", "label", "score", "scores"]
        assert set(row["scores"]) == set(LABELS)
        assert row["score"] == max(row["scores"].values()) == row["scores"][row["label"]]
        assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_evaluate_any_model(model):
    data = evaluation_texts("agnews")
    (row,) = json_lines(invoke("evaluate", model, "--data", data, "--json", "--threads", 1).stdout)
    assert {"accuracy", "macro_f1", "n", "seconds"} <= set(row)
    assert (row["n"], row["accuracy"] > 0.9, row["macro_f1"] > 0.9) == (200, True, True)
    shown = invoke("evaluate", model, "--data", data, "--threads", 1).stdout
    assert f"accuracy  {row['accuracy']:.4f}" in shown
    assert "Sci/Tech" in shown


def test_top_k_and_the_table(tiny_bundle):
    (row,) = json_lines(invoke("predict", tiny_bundle, TEXTS[0], "--json", "--top-k", 2).stdout)
    assert len(row["scores"]) == 2
    lines = invoke("predict", tiny_bundle, *TEXTS, "--top-k", 2).stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith(TEXTS[0][:20]) or TEXTS[0][:20] in lines[0]
    assert sum(label in lines[0] for label in LABELS) == 2


@pytest.mark.parametrize("form", ["plain", "jsonl", "plain.gz", "jsonl.gz", "csv", "pipe", "json pipe"])
def test_where_texts_come_from(tiny_bundle, tmp_path, form):
    lines = "".join(f"{text}\n" for text in TEXTS)
    rows = "".join(json.dumps({"text": text, "id": 1}) + "\n" for text in TEXTS)
    table = "id,text\n" + "".join(f'1,"{text}"\n' for text in TEXTS)
    content = {"plain": lines, "jsonl": rows, "csv": table}.get(form.removesuffix(".gz"), "")
    file = tmp_path / f"texts.{form.replace('plain', 'txt')}"
    file.write_bytes(gzip.compress(content.encode()) if form.endswith(".gz") else content.encode())
    if "pipe" in form:
        result = invoke("predict", tiny_bundle, "--input", "-", "--json", stdin=rows if "json" in form else lines)
    else:
        result = invoke("predict", tiny_bundle, "--input", file, "--json")
    expected = invoke("predict", tiny_bundle, *TEXTS, "--json")
    assert [row["text"] for row in json_lines(result.stdout)] == TEXTS
    for row, other in zip(json_lines(result.stdout), json_lines(expected.stdout), strict=True):
        assert row["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_odd_texts(tiny_bundle):
    done = typed("predict", tiny_bundle, "--json", "x", b"caf\xe9".decode(errors="surrogateescape"), "👩‍👩‍👧 עברית")
    assert done.returncode == 0, done.stderr
    assert len(json_lines(done.stdout.decode())) == 3
    assert typed("predict", tiny_bundle, b"caf\xe9".decode(errors="surrogateescape")).returncode == 0


def test_many_lines_in_order(tiny_bundle, tmp_path):
    texts = [f"{number} {text}" for number in range(15) for text in labelled_texts()[0]]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
    rows = json_lines(invoke("predict", tiny_bundle, "--input", tmp_path / "texts.txt", "--json").stdout)
    assert [row["text"] for row in rows] == texts


@pytest.mark.slow
def test_a_million_lines_in_bounded_memory(tiny_bundle, tmp_path):
    script = (
        "import atexit, resource, sys\n"
        "from tlm_edge.cli import main\n"
        "peak = lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
        "atexit.register(peak)\n"
        "main()\n"
    )
    peaks = []
    for lines in (20_000, 1_000_000):
        with (tmp_path / "texts.txt").open("w") as file:
            file.writelines(f"text number {number} about shares\n" for number in range(lines))
        command = [sys.executable, "-c", script, "predict"]
        with (tmp_path / "out.txt").open("w") as out:
            done = subprocess.run(
                [*command, str(tiny_bundle), "--input", str(tmp_path / "texts.txt"), "--threads", "1"],
                stdout=out, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        peaks.append(int(done.stderr.split()[-1]))
        with (tmp_path / "out.txt").open() as out:
            assert sum(1 for _ in out) == lines
    assert peaks[1] < peaks[0] + 60_000, peaks  # kilobytes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nbad \xff\n", "line 2"),
        (b"a\0b\n", "NUL"),
        (b'{"text": "a"}\n{"other": "b"}\n', "line 2: no 'text'"),
        (b'{"text": "a"}\nnot json\n', "line 2: not JSON"),
    ],
)
def test_bad_input(tiny_bundle, tmp_path, content, message):
    (tmp_path / "texts.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        invoke("predict", tiny_bundle, "--input", tmp_path / "texts.txt")
    with pytest.raises(UserError, match=message):
        invoke("predict", tiny_bundle, "--input", "-", stdin=content)


def test_mistakes_end_with_one_line(tiny_bundle, tmp_path):
    for arguments, message in (
        (("predict", "no-such-model", "x"), "no model 'no-such-model'"),
        (("predict", tmp_path, "x"), "no checkpoint, committee or bundle"),
        (("predict", tiny_bundle, "x", "--input", "y"), "not both"),
        (("predict", tiny_bundle, "--input", tmp_path / "nowhere"), "nowhere"),
        (("evaluate", tiny_bundle, "--data", tmp_path / "nowhere.jsonl"), "nowhere.jsonl"),
        (("verify", tmp_path), "is not a bundle"),
        (("export", tmp_path, "--target", "onnx"), "not a checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            invoke(*arguments)


def test_the_exit_status(tiny_bundle, tmp_path):
    done = typed("predict", "no-such-model", "x")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: no model 'no-such-model'")
    assert done.stderr.count(b"\n") == 1


def test_export_says_what_it_made(tiny_checkpoint, tmp_path):
    done = typed("export", tiny_checkpoint, "--target", "onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    out = "tlm-edge-out/tiny-onnx-int8"
    for words in (f"made      {out}", "MB", "logits within", "accuracy  ", f"tlm-edge predict {out}"):
        assert words in shown
    assert "Warning" not in done.stderr.decode()
    assert typed("verify", out, cwd=tmp_path).returncode == 0
    again = typed("export", tiny_checkpoint, "--target", "onnx", cwd=tmp_path)
    assert again.returncode == 2
    assert b"--force" in again.stderr


def test_verify_fails_loudly(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    content = json.loads((folder / "manifest.json").read_text())
    content["outputs"] = []
    (folder / "manifest.json").write_text(json.dumps(content))
    result = invoke("verify", folder)
    assert result.exit_code == 2
    assert "FAILED  signature" in result.stdout
    (row,) = json_lines(invoke("verify", tiny_bundle, "--json").stdout)
    assert row["passed"] is True


def test_a_committee_is_built_and_measured(tiny_committee, tmp_path):
    members = []
    for number in range(2):
        members.append(shutil.copytree(tiny_committee / "members" / f"{number:02d}", tmp_path / str(number)))
        for file in ("tokenizer.json", "vocab.txt"):
            if (tiny_committee / file).is_file():
                shutil.copy(tiny_committee / file, members[-1])
    data, out = evaluation_texts("agnews"), tmp_path / "committee"
    done = invoke("committee", "build", *members, "--test-data", data, "--out", out)
    accuracy = json_lines(invoke("evaluate", out, "--data", data, "--json").stdout)[0]["accuracy"]
    assert f"test       accuracy {accuracy:.4f}  (members " in done.stdout
    assert f"| committee | {accuracy:.4f} |" in (out / "README.md").read_text(encoding="utf-8")


def test_inspect(tiny_committee):
    shown = invoke("inspect", tiny_committee, "--length", 48).stdout
    assert "2 members, one text of 48 tokens" in shown
    (row,) = json_lines(invoke("inspect", tiny_committee, "--json").stdout)
    assert row["as_written"][-1]["name"] == "total"
    assert row["rewritten"][-1]["multiply_adds"] < row["as_written"][-1]["multiply_adds"] / 5
    assert row["rewritten"][-1]["activation_bytes"] < row["as_written"][-1]["activation_bytes"] / 2
    with pytest.raises(UserError, match="--length 49: .* has 48 positions"):
        invoke("inspect", tiny_committee, "--length", 49)


def test_inspect_a_bundle(tiny_committee_bundle, tmp_path):
    shown = invoke("inspect", tiny_committee_bundle).stdout
    assert shown.startswith("tiny-committee-onnx-int8: 2 members, onnx int8, rewrite fixed-query\n")
    assert "inputs   input_ids int64 (batch, length), attention_mask int64 (batch, length); texts of up to 48" in shown
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tiny_committee_bundle)
    (row,) = json_lines(invoke("inspect", tmp_path / "zipped.zip", "--json").stdout)
    sizes = {path.name: path.stat().st_size for path in tiny_committee_bundle.iterdir()}
    del sizes["manifest.json"]
    assert {part["name"]: part["bytes"] for part in row["files"]} == sizes
    assert row["total_bytes"] == sum(sizes.values())
    assert row["archive_bytes"] == (tmp_path / "zipped.zip").stat().st_size
    assert row["bytes_per_parameter"] < 4


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the committee isn't shipped yet")
def test_export_without_a_model_takes_the_shipped_committee(tmp_path):
    done = typed("export", "--target", "onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"shipped committee agnews-committee" in done.stdout
    assert (tmp_path / "tlm-edge-out/agnews-committee-onnx-int8/manifest.json").is_file()


def test_inspect_what_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UserError, match=r"notes\.txt is no bundle, nor the folder"):
        invoke("inspect", tmp_path / "notes.txt")
