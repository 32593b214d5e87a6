import json
import os
import subprocess
import sys

import pytest

from tlm_edge.shipped import evaluation_texts


@pytest.fixture
def run(tmp_path):
    """A function that runs ``tlm-edge`` in an empty folder and returns the finished process."""

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TLM_EDGE_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"}
        command = [sys.executable, "-m", "tlm_edge", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done

    return run


def test_a_tokenizer_is_trained_and_used(run, tmp_path):
    texts = str(evaluation_texts("agnews"))
    done = run("tokenizer", "train", "--corpus", texts, "--vocab-size", "700", "--out", "tokens")
    assert done.stdout.startswith("tokens: 700 tokens, lower-case\nnext: tlm-edge pretrain")
    assert done.stderr == ""
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert sorted(path.name for path in (tmp_path / "tokens").iterdir()) == names
    again = run("tokenizer", "train", "--corpus", texts, "--out", "tokens", status=2)
    assert again.stderr == "error: tokens exists already: choose another --out, or replace it with --force\n"
    run("tokenizer", "convert", "tokens/vocab.txt", "--out", "converted")
    assert (tmp_path / "converted/tokenizer.json").read_bytes() == (tmp_path / "tokens/tokenizer.json").read_bytes()

    done = run("data", "describe", texts, "--tokenizer", "tokens", "--corpus", texts, "--json")
    described = json.loads(done.stdout)
    assert described["splits"]["train"]["labels"] == dict.fromkeys(["Business", "Sci/Tech", "Sports", "World"], 50)
    assert described["splits"]["train"]["lengths"]["unknown_rate"] == 0
    assert described["overlap"][0] == {"seen_at_least": 1, "types": 1.0, "occurrences": 1.0}

    done = run("data", "describe", texts, "--tokenizer", "tokens", "--corpus", texts)
    assert "200 rows in train" in done.stdout
    assert "4 labels; train: 50 to 50 rows a label" in done.stdout
    assert "unknown 0.000%" in done.stdout
    assert "seen     1 times or more in the corpus: 100.00%" in done.stdout
    assert done.stderr == ""


def test_mistakes_are_one_line(run, tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"text,label\na,x\nb\xff,y\n")
    done = run("data", "describe", "bad.csv", status=2)
    assert done.stderr == (
        "error: bad.csv, line 3: the byte 0xff is not UTF-8; save the file as UTF-8 (iconv -t utf-8 converts)\n"
    )
    assert done.stdout == ""
    done = run("data", "describe", "absent/data.csv", status=2)
    assert done.stderr == (
        "error: absent/data.csv: no such file or folder; check the path (hub datasets are named owner/name)\n"
    )
    done = run("tokenizer", "train", "--corpus", "*.txt", "--out", "tokens", status=2)
    assert done.stderr == "error: *.txt: no file matches\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]
