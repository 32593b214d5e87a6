"""Write ``docs/science.md`` from ``benchmarks/results/reproduce``, as ``make docs`` does; a test checks the text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tlm_edge.reproduce import tables
from tlm_edge.reproduce.ablations import few_labels, pretraining_losses, recipes, words_alone
from tlm_edge.reproduce.findings import RULES, Comparison, Findings, find
from tlm_edge.reproduce.plots import draw_few_labels, draw_finding, save_small_png
from tlm_edge.reproduce.results import Results, read_results
from tlm_edge.reproduce.write import (
    CITATION,
    NOISE,
    READING,
    REPAIRED,
    deep_learned_less,
    differences,
    machines,
    member_sizes,
    overlaps,
)

HERE = Path(__file__).resolve().parent
PAGE = HERE / "science.md"
PLOTS = HERE / "science"
RESULTS = HERE.parent / "benchmarks" / "results"
#: The reproduction that the page tells: the largest that was run.
PLAN = "laptop"

ABSTRACT = (
    "*Tiny language models* claims that pre-training pays even for very small encoders, that it pays more with a "
    "larger corpus and with one whose tokens overlap more with those of the task, and that several one-layer encoders, "
    "pre-trained independently and voting softly, replace a deep one. We run these experiments again with encoders of "
    "hidden size 256 on two processor cores, with several seeds, paired tests and verdicts by rules that were fixed "
    "before any result. It is a reproduction of directions, with encoders a tenth of the paper's size and a tenth to a "
    "fiftieth of its training tokens: that a claim is not seen here does not refute it."
)
QUESTION = (
    f"The paper is {CITATION}. Its abstract states the four claims; its tables could not be had, and no accuracy of "
    "theirs is quoted here. We ask of each claim whether its direction is seen, whether the difference is larger than "
    "what another seed or other test rows would make of it, and on how many tasks."
)
METHOD = (
    "**Models.** An encoder of the BERT family (post-layer-norm, learned positions) with one layer (`bert-1`) or more. "
    "A member of a committee is pre-trained by itself, from its own seed, which also orders its text and its "
    "fine-tuning; the committee's answer is the mean of the members' probabilities.",
    "**Pre-training.** Masked language modelling: 15 % of the tokens, drawn anew at every pass (80/10/10). Encoders "
    "of one architecture see the same number of tokens whatever their corpus, so that corpora differ in size and "
    "content alone; the paper makes the same number of passes instead, so that its larger corpora are also trained on "
    "for longer; that stands beside it. Corpora of different size are nested. The gain of pre-training is the accuracy "
    "above that from scratch; between two corpora the latter is the same and cancels.",
    "**Fine-tuning.** All weights, the same recipe and the same rows for encoders pre-trained and from scratch. From "
    "scratch means the architecture's initial weights; its tokenizer is the same. For relation classification the "
    "classifier reads the rows of the entity markers.",
    "**Overlap.** The paper speaks of the overlap of tokens in both data sets, without a definition that could be had. "
    "Nearly all of 8,192 word pieces occur in any corpus of a million tokens, so that the share of a task's tokens "
    "that the corpus has says nothing here. We take the *shared frequency*: the sum over the vocabulary of the smaller "
    "of a token's relative frequencies in the corpus and in the task's training texts, which is 1 minus their total "
    "variation distance. The two corpora of the experiment are the passages of 96 words with the highest and with the "
    "lowest mean log(p(token | task) / p(token | all text)) of all text, equal in tokens. They differ in subject as "
    "well as in tokens: it is a selection, not an intervention.",
    "**Statistics.** Differences are paired by seed, with Student's t interval over the pairs, which with three seeds "
    "shows only clear differences; for each pair of models McNemar's exact test on the test rows; for one committee "
    "against several deep models a bootstrap over rows and models; p-values are corrected over all comparisons "
    "(Holm). A verdict rests on intervals, not on the corrected p-values, which stand beside them.",
)
LIMITS = (
    "The training rows are the same for every seed, so that intervals over seeds hold for these rows, not for a fresh "
    "draw of them.",
    "Three seeds are few: an *open* comparison is no evidence that there is no difference.",
    "A committee is one vote of all its members; how another set of members would do is seen only from the smaller "
    "committees. The bootstrap over two or three deep models understates how much another one could differ.",
    "Settings (learning rates, passes) were chosen on AG News and FewRel during development, on the same test rows "
    "that are reported here, before the runs of this page; none was chosen by them.",
    "DBPedia's and FewRel's texts come from Wikipedia, and some may occur, unlabelled, in the pre-training text.",
    "Accuracies belong to these rows: the training rows are parts of the official sets, DBPedia's test rows are not "
    "the official ones, and FewRel has 40 test rows a relation and not always the 630 to train on.",
)


def page() -> str:
    """The whole page."""
    results = read_results(RESULTS / "reproduce" / PLAN)
    findings = find(results)
    parts = [
        "# Tiny language models, again: four findings with error bars",
        *_abstract(results, findings),
        *_method(results),
        *_data(results),
        *_findings(results, findings),
        *_ablations(results),
        *_limits(results),
        *_again(),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def plots() -> None:
    """Draw the page's plots."""
    results = read_results(RESULTS / "reproduce" / PLAN)
    PLOTS.mkdir(exist_ok=True)
    for old in PLOTS.glob("*.png"):
        old.unlink()
    figures = {one.name: draw_finding(one, results) for one in find(results).findings}
    figures["few-labels"] = draw_few_labels(few_labels(results), results)
    for name, figure in figures.items():
        if figure is not None:
            save_small_png(figure, PLOTS / f"{name}.png")


def _abstract(results: Results, findings: Findings) -> Iterator[str]:
    yield _prose(ABSTRACT)
    yield _prose(f"**Scale:** plan `{PLAN}`. {tables.progress(results)} {machines(results)}")
    yield tables.summary(findings)
    yield "## Question\n\n" + _prose(QUESTION)


def _method(results: Results) -> Iterator[str]:
    yield "## Method"
    yield from (_prose(paragraph) for paragraph in METHOD)
    yield "Rules of the verdicts, fixed in code (`tlm_edge/reproduce/findings.py`) before the runs:"
    yield "\n".join(_item(rule) for rule in RULES)
    yield "What differs from the paper:"
    yield tables.table(["", "paper", "here"], list(differences(results)), words=3)
    yield "Repaired, compared with the code that the authors published:"
    yield "\n".join(_item(one) for one in REPAIRED)


def _data(results: Results) -> Iterator[str]:
    yield "## Data"
    yield _prose(
        "The files are those of [benchmarks/README.md](../benchmarks/README.md): Wikipedia of 2015 and 2021, about 41 "
        "million words; AG News' official test set and part of its training set; 7,600 test and 23,688 training rows "
        "of DBPedia's 14 classes; 64 relations of FewRel. None is part of the repository; what is kept of each run is "
        "its outcome and the label it gave to each test row "
        f"([benchmarks/results/reproduce/{PLAN}](../benchmarks/results/reproduce/{PLAN})), from which every test here "
        "is computed."
    )
    losses = pretraining_losses(results)
    if losses:
        yield "Pre-training, with the loss on held-out blocks of each corpus:"
        yield tables.losses(losses)
    if results.overlaps:
        yield "Overlap of each corpus with each task's training texts:"
        yield overlaps(results)


def _findings(results: Results, findings: Findings) -> Iterator[str]:
    yield "## Results"
    yield _prose(f"{READING} {findings.family} comparisons have a p-value.")
    yield _prose(NOISE)
    if findings.noise:
        yield tables.noise(findings.noise)
    for finding in findings.findings:
        yield f"### {finding.number}. {finding.claim}"
        yield _prose(f"**{tables.verdict(finding)}** ({finding.because}). {tables.in_words(finding)}".rstrip())
        if draw_finding(finding, results) is not None:
            what = f"Finding {finding.number}: differences with 95 % intervals, and its curve"
            yield f"![{what}](science/{finding.name}.png)"
        if any(one.difference is not None for one in finding.comparisons):
            yield tables.comparisons(finding)
        if finding.name == "pre-training" and (words := words_alone(results)):
            yield _prose(tables.words_alone(words))
        if finding.name == "committee" and (sizes := member_sizes(results)):
            yield "Accuracy by the number of members, over the committees that the seeds form (lowest–highest):"
            yield tables.sizes(sizes)
        if finding.name == "committee":
            yield from map(_prose, deep_learned_less(results))
    yield _prose(
        "Beside the plan: the shipped encoder `wiki-bert-1`, which saw 32 million tokens of all the text, against the "
        "same architecture from scratch, on all training rows; three seeds, accuracy in percent "
        "(`python benchmarks/pretraining_gain.py TASK`):"
    )
    yield _shipped()
    yield _prose(
        "What committees of all three shipped encoders reach with all rows, beside TF-IDF: [accuracy.md](accuracy.md)."
    )


def _shipped() -> str:
    rows = []
    for task in ("agnews", "fewrel"):
        result: dict[str, Any] = json.loads((RESULTS / f"pretraining_gain_{task}.json").read_text(encoding="utf-8"))
        accuracy = result["accuracy"]
        pair = Comparison(task, "", "", tuple(accuracy["pretrained"]), tuple(accuracy["from scratch"]))
        difference = tables.interval(_paired(pair))
        rows.append([task, tables.spread(pair.first_accuracies), tables.spread(pair.second_accuracies), difference])
    return tables.table(["task", "pre-trained", "from scratch", "difference, points (95 %)"], rows)


def _paired(pair: Comparison) -> tables.Difference:
    from tlm_edge.reproduce.statistics import paired_difference

    return paired_difference(pair.first_accuracies, pair.second_accuracies)


def _ablations(results: Results) -> Iterator[str]:
    few, other = few_labels(results), recipes(results)
    if not few and not other:
        return
    yield "## Ablations"
    if few:
        yield _prose(
            "**Few labels.** The same encoders with fewer training rows, beside TF-IDF (words and pairs) and logistic "
            "regression on exactly these rows; accuracy in percent:"
        )
        if draw_few_labels(few, results) is not None:
            yield "![Accuracy over training rows a label](science/few-labels.png)"
        yield tables.few_labels(few)
    if other:
        yield _prose(
            "**Members of other kinds, and other recipes** of pre-training, at the same corpus and number of tokens:"
        )
        yield tables.recipes(other)


def _limits(results: Results) -> Iterator[str]:
    yield "## Limits"
    missing = (
        [f"{tables.progress(results)} What is missing changes verdicts that say *so far*."] if results.missing else []
    )
    yield "\n".join(_item(one) for one in [*missing, *LIMITS])


def _again() -> Iterator[str]:
    yield "## To do it again"
    yield (
        "```sh\n"
        "tlm-edge reproduce smoke                                   # minutes, with no data: that everything works\n"
        "tlm-edge reproduce laptop --data FOLDER --out laptop       # this page; stopped, the same command goes on\n"
        "tlm-edge reproduce paper --data FOLDER --out paper         # the paper's sizes, for a GPU\n"
        "python -m tlm_edge.reproduce.distil laptop benchmarks/results/reproduce/laptop --data FOLDER\n"
        "make docs                                                  # this page from what is kept\n"
        "```"
    )
    yield _prose(
        "Each outcome names the command of its run alone, its seed, and the machine. `FOLDER` is laid out as "
        "[benchmarks/README.md](../benchmarks/README.md) tells."
    )


def _item(text: str) -> str:
    return textwrap.fill(
        text, 140, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _prose(text: str) -> str:
    return textwrap.fill(text, 140, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    plots()
    print(f"written: docs/{PAGE.name}, docs/{PLOTS.name}/")
