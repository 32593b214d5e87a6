"""A plan is read with every mistake named, and a folder follows one plan."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tlm_edge.reproduce.conditions import Design
from tlm_edge.reproduce.folder import PLAN, open_folder, plan_for
from tlm_edge.reproduce.plan import SCALES, parse_plan, plan_file, read_plan
from tlm_edge.reproduce.runs import only, plan_runs
from tlm_edge.runtime.errors import UserError

SMALL = """
name = "small"
about = "A plan that is right."
tokenizer = "wiki-bert-1"
pretraining = { max_tokens = 1000 }
finetuning = { epochs = 2 }

[architectures.bert-1]
arch = "bert-1"

[corpora.news]
files = ["news/*.txt"]

[corpora.like-topics]
files = ["news/*.txt"]
overlap = "high"
overlap_with = "topics"
tokens = 500

[tasks.topics]
train = "topics/train.csv"
test = "topics/test.csv"
finetuning = { learning_rate = 1e-3 }

[[experiments]]
architectures = ["bert-1"]
corpora = ["news", "scratch", "like-topics"]
tasks = ["topics"]
seeds = [0, 1]
"""


def tables(**changes: Any) -> dict[str, Any]:
    """The small plan with values put at dotted places; None deletes."""
    content = deepcopy(tomllib.loads(SMALL))
    for place, value in changes.items():
        *path, last = place.split("__")
        inside: Any = content
        for name in path:
            inside = inside[int(name) if name.isdigit() else name]
        if value is None:
            del inside[last]
        else:
            inside[last] = value
    return content


@pytest.mark.parametrize("name", SCALES)
def test_the_plans_of_the_package_are_right(name: str) -> None:
    plan = read_plan(plan_file(name))
    assert plan.name == name
    assert len(plan_runs(plan)) > 10


def test_runs_come_once_each_and_after_what_they_need() -> None:
    runs = plan_runs(parse_plan(tables(), Path("small.toml")))
    names = [run.name for run in runs]
    assert names == [
        "pretrain-bert-1-news-seed0",
        "finetune-topics-bert-1-news-seed0",
        "finetune-topics-bert-1-scratch-seed0",
        "prepare-overlap-topics",
        "pretrain-bert-1-like-topics-seed0",
        "finetune-topics-bert-1-like-topics-seed0",
        "pretrain-bert-1-news-seed1",
        "finetune-topics-bert-1-news-seed1",
        "finetune-topics-bert-1-scratch-seed1",
        "pretrain-bert-1-like-topics-seed1",
        "finetune-topics-bert-1-like-topics-seed1",
    ]
    for number, run in enumerate(runs):
        assert set(run.needs) <= set(names[:number])
    chosen = only(runs, {"finetune-topics-bert-1-like-topics-seed1"})
    assert [run.name for run in chosen] == [names[3], names[9], names[10]]
    twice = tables()
    twice["experiments"] *= 2
    assert plan_runs(parse_plan(twice, Path("small.toml"))) == runs


def test_recipes_are_the_plan_s_with_what_architecture_corpus_and_task_have_otherwise() -> None:
    changes = {
        "architectures__bert-1": {"arch": "bert-1", "pretraining": {"learning_rate": 0.5}, "finetuning": {"epochs": 7}},
        "corpora__news__pretraining": {"max_tokens": 9},
    }
    content = tables(**changes)
    plan = parse_plan(content, Path("small.toml"))
    assert plan.pretraining_of("bert-1", "news").max_tokens == 9
    assert plan.pretraining_of("bert-1", "like-topics").max_tokens == 1000
    assert plan.pretraining_of("bert-1", "news").learning_rate == 0.5
    assert plan.finetuning_of("bert-1", "topics").epochs == 7
    assert plan.finetuning_of("bert-1", "topics").learning_rate == 1e-3


def test_a_shallow_architecture_is_held_against_its_recipes_and_the_other_shallow_ones() -> None:
    content = tables()
    content["architectures"] |= {
        "bert-6": {"arch": "bert-6"},
        "bert-1-conv2": {"arch": "bert-1-conv2"},
        "bert-1-mask-30": {"arch": "bert-1", "pretraining": {"mask_probability": 0.3}},
    }
    design = Design.of(parse_plan(content, Path("small.toml")))
    assert design.alternatives("bert-1") == ("bert-1-mask-30", "bert-1-conv2")
    assert design.alternatives("bert-1-conv2") == design.alternatives("bert-6") == ()


def test_smaller_corpora_with_another_recipe_stand_beside_those_of_different_size() -> None:
    content = tables()
    content["corpora"] = {
        "few": {"files": ["news/*.txt"], "articles": 10},
        "few-once": {"files": ["news/*.txt"], "articles": 10, "pretraining": {"max_tokens": 100}},
        "many": {"files": ["news/*.txt"], "articles": 90},
        "many-once": {"files": ["news/*.txt"], "articles": 90, "pretraining": {"max_tokens": 900}},
    }
    content["experiments"][0]["corpora"] = ["scratch", "few", "few-once", "many", "many-once"]
    design = Design.of(parse_plan(content, Path("small.toml")))
    assert design.sizes("bert-1", "topics") == ("few", "many")
    assert design.smaller_with_other_recipes("bert-1", "topics") == ("few-once",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"about": None}, "about: missing"),
        ({"seeds": [1]}, "seeds: not a known key"),
        ({"pretraining": {}}, "pretraining of bert-1 on news.max_tokens: missing"),
        ({"pretraining": {"max_tokens": 0}}, "pretraining of bert-1 on .*max_tokens: 0; give more than 0"),
        ({"pretraining": {"max_tokens": 1, "warmup": 0.1}}, "pretraining of .*warmup: not a known key"),
        ({"finetuning": {"epochs": "two"}}, "finetuning of bert-1 for topics.epochs: an integer expected, 'two' found"),
        ({"tokenizer": None}, "give either tokenizer or vocab_size"),
        ({"name": "Small"}, "name: 'Small'"),
        ({"experiments": []}, "experiments: none"),
        ({"experiments__0__tasks": ["topic"]}, r"experiments\[0\].tasks: no 'topic' among the tasks \(topics\)"),
        ({"experiments__0__corpora": []}, r"experiments\[0\].corpora: empty"),
        ({"experiments__0__seeds": [0, 0]}, r"experiments\[0\].seeds: give at least one, each once"),
        ({"architectures__bert_2": {"arch": "bert-9"}}, "architectures.bert_2: names are lower-case"),
        ({"architectures__bert-2": {"arch": "bert-9"}}, "architectures.bert-2.arch: no 'bert-9'; there is bert-1, "),
        ({"corpora__scratch": {"files": ["a"]}}, "corpora.scratch: names are .* not 'scratch'"),
        ({"corpora__news__files": []}, "corpora.news.files: empty"),
        ({"corpora__news__articles": -1}, "corpora.news.articles: -1; give more than 0"),
        ({"corpora__news__tokens": 5}, "corpora.news: overlap_with and tokens are for a corpus with overlap"),
        ({"corpora__like-topics__tokens": None}, "corpora.like-topics: overlap needs overlap_with and tokens"),
        ({"corpora__like-topics__overlap_with": "x"}, "corpora.like-topics.overlap_with: no 'x' among the tasks"),
        ({"corpora__like-topics__articles": 5}, "corpora.like-topics: a corpus with overlap has tokens, not articles"),
        (
            {"corpora__more": {"files": ["a"], "overlap": "low", "overlap_with": "topics", "tokens": 500}},
            "corpora.like-topics and more: both overlap with one task, so give both the same files and tokens",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^small.toml: {message}") as raised:
        parse_plan(tables(**changes), Path("small.toml"))
    assert "\n" not in str(raised.value)


def test_files_that_are_no_plans_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no plan 'huge': give smoke, laptop, paper, or a TOML file"):
        plan_file("huge")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("name = ")
    with pytest.raises(UserError, match="wrong.toml: not TOML"):
        read_plan(wrong)


def test_a_folder_follows_one_plan(tmp_path: Path) -> None:
    file, folder = tmp_path / "small.toml", tmp_path / "out"
    file.write_text(SMALL)
    with open_folder(folder, file):
        assert (folder / PLAN).read_text() == SMALL
        with (
            pytest.raises(UserError, match="another process is working in .*out"),
            open_folder(folder, file),
        ):
            pass
    more = SMALL.replace("seeds = [0, 1]", "seeds = [0, 1, 2]") + '[corpora.old]\nfiles = ["old.txt"]\n'
    file.write_text(more)
    assert plan_for(folder, file).experiments[0].seeds == (0, 1, 2)
    for old, new, place in [
        ("max_tokens = 1000", "max_tokens = 2000", "pretraining"),
        ('files = ["news/*.txt"]\n\n', 'files = ["news/*.txt"]\narticles = 5\n\n', "corpora.news"),
        ("learning_rate = 1e-3", "learning_rate = 1e-4", "tasks.topics"),
        ('"wiki-bert-1"', '"wiki-bert-6"', "tokenizer"),
    ]:
        assert old in more
        file.write_text(more.replace(old, new, 1))
        with pytest.raises(UserError, match=f"out follows a plan with another {place}: give this plan another --out"):
            plan_for(folder, file)
    file.write_text(SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    with pytest.raises(UserError, match="mine holds something else than a reproduction"):
        plan_for(tmp_path / "mine", file)
