"""Write ``docs/distillation.md`` from the record in ``benchmarks/results``, as ``make docs`` does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rivals_text import markdown_table, prose, short  # (beside this file)

from tlm_edge.reproduce import tables
from tlm_edge.reproduce.statistics import Difference

HERE = Path(__file__).resolve().parent
PAGE = HERE / "distillation.md"
RESULTS = HERE.parent / "benchmarks" / "results"
TASKS = {"agnews": "AG News (4 labels)", "dbpedia": "DBPedia (14)", "fewrel": "FewRel (64)"}
DEFAULTS, TEACHER = "defaults", "teacher"

WHAT = (
    "A deep model that has read a thousand times as much as ours, fine-tuned on the same rows, is more accurate than "
    "our committees, and much slower and larger. What of it can a committee learn? And what is it worth that a member "
    "sees pairs of tokens, which one layer by itself hardly does? Here is what `tlm-edge committee train` makes of the "
    "shipped encoders by its defaults, with `--bigrams` (a table of hashed token pairs beside the words, which starts "
    "at zero), with `--teacher`, and with `--unlabelled` texts that the teacher labels besides."
)
TEACHER_IS = (
    "The teacher is `sentence-transformers/all-MiniLM-L6-v2`, which a package brings here: six layers of "
    "hidden size 384, distilled by others from a larger model and trained by them on a billion pairs of sentences "
    "(Apache-2.0). `tlm-edge finetune` takes it as it takes any BERT of Hugging Face, and the students ask it as the "
    "bundle that `tlm-edge export` makes of it. Their vocabularies differ; that is no matter, since what is learned "
    "are probabilities of labels."
)
LIMITS = (
    "What the students of this page know comes in part from the texts that the teacher has read: they are no evidence "
    "for what pre-training on our Wikipedia text gives, and stand in no other table but that of the goals.",
    "Among the texts that others trained the teacher on are some offered for non-commercial research alone (MS MARCO): "
    "whether that binds a student of it is not settled law.",
    "The teacher learned all rows but a few, those that weight the students' votes among them.",
    "The teacher's recipe is one usual for such models, and was not tuned.",
)


def page() -> str:
    """The whole page."""
    record: dict[str, Any] = json.loads((RESULTS / "distillation.json").read_text(encoding="utf-8"))
    return "\n\n".join(_parts(record)) + "\n"


def _parts(record: dict[str, Any]) -> Iterator[str]:
    tasks: dict[str, dict[str, Any]] = record["tasks"]
    rows = ", ".join(f"{found['test_rows']:,} test rows of {TASKS[task]}" for task, found in tasks.items())
    yield "# Learning from a deep teacher, and seeing pairs"
    yield prose(WHAT)
    yield prose(TEACHER_IS)
    yield prose(
        f"Measured on {rows} by `{record['command'].replace(' --finished', '')}` on {record['machine']['cpu']}. "
        "Accuracy in percent; of one model the mean over the members and their deviation. "
        f"{_unlabelled(record)}{_not_run(record)}"
    )
    yield markdown_table(["task", "teacher", "", *record["ways"]], list(_accuracies(record)))
    yield prose(
        f"{_gains(tasks)} A table of 16,384 pairs takes four megabytes a member in int8, as much as all the rest of "
        "it, and little time (below)."
    )
    yield "## What it adds"
    yield prose(
        "Points of accuracy above the same by its defaults. Of one model Student's interval over the members, paired "
        "by encoder; of committees a bootstrap over rows. *Rows* counts, for each pair, the test rows that only the "
        "first has right and those that only the one by its defaults has; a star marks McNemar's exact p < 0.05."
    )
    heads = ["task", "with", "", "accuracy", "difference (95 %)", "rows"]
    yield markdown_table(heads, list(_differences(tasks, against_teacher=False)))
    yield "## How near they come, and what that saves"
    yield markdown_table(heads, list(_differences(tasks, against_teacher=True)))
    yield prose(
        "All in int8 in ONNX Runtime on one thread, a text at a time and tokenization counted, in turns by `tlm-edge "
        "bench --profile quick`: the teacher, and the committees of three (with n-grams where there are any) that had "
        "it, as one file, without a cascade. How many times as long as each the teacher takes, with its 95 % interval:"
    )
    yield markdown_table(["task", "", "ms", "MB", "teacher takes", "model alone"], list(_times(tasks)))
    yield "## To do it"
    yield (
        "```console\n"
        "$ tlm-edge finetune sentence-transformers/all-MiniLM-L6-v2 --data mine.csv --epochs 3 --learning-rate 1e-4"
        " --out teacher\n"
        "$ tlm-edge export --target onnx --precision int8 teacher --out teacher-int8\n"
        "$ tlm-edge committee train --data mine.csv --bigrams 16384 --teacher teacher-int8 --unlabelled more.txt"
        " --out taught\n"
        "```"
    )
    yield prose(
        "The first line takes a folder or `owner/name` of the hub. What the teacher said of a text is remembered, so "
        "that the second member, a second try or another recipe don't ask it again. Texts of the task itself that "
        "nobody labelled are the best to have; here there were none, and Wikipedia had to do."
    )
    yield "## Limits"
    yield "\n".join(prose(f"- {limit}").replace("\n", "\n  ") for limit in LIMITS)


def _unlabelled(record: dict[str, Any]) -> str:
    told = (f"{count:,} {kind} for {TASKS[task]}" for task, (kind, count) in record["unlabelled"].items())
    return (
        f"The unlabelled texts are of Wikipedia: {', '.join(told)}; *relations* are sentences in which two names are "
        "marked by their capitals."
    )


def _not_run(record: dict[str, Any]) -> str:
    left = [
        f"{called} with {', '.join(f'«{way}»' for of, way in record['not_run'] if of == task)}"
        for task, called in TASKS.items()
        if any(of == task for of, _ in record["not_run"])
    ]
    return f" Not run yet: {'; '.join(left)}." if left else ""


def _gains(tasks: dict[str, dict[str, Any]]) -> str:
    """What the last way of each task is worth, in words."""
    told = []
    for task, found in tasks.items():
        best = [one for one in found["differences"] if one["second"].endswith(f", {DEFAULTS}")]
        way = best[-1]["first"].partition(", ")[2]
        points = {
            one["first"].partition(", ")[0]: one["difference"]["value"] for one in best if one["first"].endswith(way)
        }
        gains = ", ".join(f"{_called(kind)} {100 * value:+.1f}" for kind, value in points.items())
        told.append(f"on {TASKS[task]} «{way}» adds in points: {gains}")
    return f"**In short**, {'; '.join(told)}."


def _accuracies(record: dict[str, Any]) -> Iterator[list[str]]:
    for task, found in record["tasks"].items():
        accuracy = found["accuracy"]
        about = [TASKS[task], tables.spread(accuracy[TEACHER])]
        for kind in dict.fromkeys(name.partition(", ")[0] for name in accuracy if name != TEACHER):
            if kind != "n-grams":
                each = [accuracy.get(f"{kind}, {way}") for way in record["ways"]]
                cells = ["–" if one is None else tables.spread(one) for one in each]
                yield [*about, _called(kind), *cells]
                about = [""] * len(about)


def _differences(tasks: dict[str, dict[str, Any]], *, against_teacher: bool) -> Iterator[list[str]]:
    for task, found in tasks.items():
        for one in found["differences"]:
            if (one["second"] == TEACHER) == against_teacher:
                kind, _, way = one["first"].partition(", ")
                rows = " ".join(
                    f"{test['only_first']}:{test['only_second']}{'*' if test['p'] < 0.05 else ''}"
                    for test in one["rows"]
                )
                spread = tables.spread(found["accuracy"][one["first"]])
                yield [TASKS[task], way, _called(kind), spread, tables.interval(Difference(**one["difference"])), rows]


def _times(tasks: dict[str, dict[str, Any]]) -> Iterator[list[str]]:
    for task, found in tasks.items():
        about = TASKS[task]
        for name, told in found["timed"].items():
            ratios = [_ratio(told[one]) if one in told else "" for one in ("ratio", "model_ratio")]
            yield [about, name, f"{told['ms']:.3g}", f"{told['mb']:.3g}", *ratios]
            about = ""


def _ratio(told: dict[str, Any]) -> str:
    bounds = "" if told["low"] is None else f" ({short(told['low'])}–{short(told['high'])})"
    return f"**{short(told['value'])}×**{bounds}"


def _called(kind: str) -> str:
    return "one model" if kind == "member" else kind


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: docs/{PAGE.name}")
