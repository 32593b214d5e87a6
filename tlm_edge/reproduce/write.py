"""The report of a reproduction: a page a finding as Markdown and HTML, plots, and all figures as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from statistics import mean

from tlm_edge.files import new_folder, write_json
from tlm_edge.reproduce import tables
from tlm_edge.reproduce.ablations import committee_sizes, few_labels, pretraining_losses, recipes, words_alone
from tlm_edge.reproduce.conditions import Design
from tlm_edge.reproduce.findings import RULES, Finding, Findings, find
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.measure import measure
from tlm_edge.reproduce.plan import Corpus, Plan
from tlm_edge.reproduce.plots import draw_few_labels, draw_finding, save_small_png
from tlm_edge.reproduce.results import Results, read_results

#: Below the folder of the reproduction.
REPORT = "report"

CITATION = (
    "R. D. Gross, Y. Tzach, T. Halevi, E. Koresh, I. Kanter, *Tiny language models*, Physica A 681 (2026) 131102, "
    "[arXiv 2507.14871](https://arxiv.org/abs/2507.14871)"
)
#: What the authors' published code does that a reproduction shouldn't, and what is done here instead.
REPAIRED = (
    "its learning-rate schedule steps once an epoch, so that the first of 50 epochs runs at rate 0; here it steps with "
    "the optimiser, after a warm-up",
    "its convolutional variants fail with transformers 4.57 and later; here they are computed by the project's own "
    "encoder",
    "its defaults for the ids of [PAD] and [CLS] are wrong; here they are those of the tokenizer",
    "it has no committees and no relation classification; here members are pre-trained independently, each from its "
    "own seed, and vote by the mean of their probabilities, and entities are marked as in *Matching the Blanks*",
)
READING = (
    "Differences are in points of accuracy, first minus second. With seeds on both sides they are paired by seed, and "
    "the interval is Student's t over the pairs, whose factor is 12.7 for two and 4.3 for three: only clear "
    "differences are shown. *Holm* is p corrected for all comparisons of the reproduction. *Rows* counts, for each "
    "pair of models, the test rows that only the first has right and those that only the second has; a star marks "
    "McNemar's exact p < 0.05. For a committee against deep models the interval is a bootstrap over rows and deep "
    "models."
)


def write_findings(folder: Path, plan: Plan, data: Path | None = None) -> Path:
    """Write the report of the reproduction in ``folder`` as ``report/`` in it; return its first page.

    Whatever has run is told, and how much that is. ``data`` is the folder of the plan's files, as ``Place`` has it:
    where it is there, what ``measure`` does is done first. Raises ``UserError`` for what can't be read.
    """
    measure(Place(plan, folder, data))
    results = read_results(folder)
    findings = find(results)
    with new_folder(folder / REPORT, force=True) as report:
        write_json(
            report / "findings.json", asdict(findings) | {"planned": results.planned, "missing": results.missing}
        )
        pages = {"index": ("Reproduction: " + plan.name, _index(results, findings))}
        for finding in findings.findings:
            name = f"{finding.number}-{finding.name}"
            figure = draw_finding(finding, results)
            if figure is not None:
                save_small_png(figure, report / f"{name}.png")
            pages[name] = (finding.claim, _page(finding, findings, results, figure is not None))
        figure = draw_few_labels(few_labels(results), results)
        if figure is not None:
            save_small_png(figure, report / "few-labels.png")
        pages["ablations"] = ("Ablations", _ablations(results, figure is not None))
        for name, (title, lines) in pages.items():
            text = f"# {title}\n\n" + "\n\n".join(lines) + "\n"
            (report / f"{name}.md").write_text(text, encoding="utf-8")
            (report / f"{name}.html").write_text(_html(title, text), encoding="utf-8")
    return folder / REPORT / "index.html"


def _index(results: Results, findings: Findings) -> Iterator[str]:
    yield " ".join(results.plan.about.split())
    yield f"**{tables.progress(results)}**"
    yield tables.summary(findings)
    links = [f"[{one.number}. {one.claim}]({one.number}-{one.name}.md)" for one in findings.findings]
    yield "\n".join(f"- {link}" for link in [*links, "[Ablations](ablations.md): few labels, recipes, losses"])
    yield (
        f"The paper is {CITATION}. Its tables of accuracies could not be had: what is compared is direction and "
        "significance, not numbers."
    )
    yield "## Rules of the verdicts\n\nThey were fixed before any result.\n\n" + "\n".join(
        f"- {rule}" for rule in RULES
    )
    yield "## How much is chance\n\n" + NOISE
    if findings.noise:
        yield tables.noise(findings.noise)
    yield "## What differs from the paper"
    yield tables.table(["", "paper", "here"], list(differences(results)), words=3)
    yield "Repaired, compared with the code that the authors published:\n\n" + "\n".join(f"- {one}" for one in REPAIRED)
    yield "## Machine\n\n" + machines(results)


NOISE = (
    "Two models that differ in the seed alone differ by up to about 2.8 times the deviation over seeds (95 %). The "
    "error of the test set is that of a single accuracy; it cancels in part where two models are tested on the same "
    "rows."
)


def _page(finding: Finding, findings: Findings, results: Results, drawn: bool) -> Iterator[str]:
    yield f"**{tables.verdict(finding)}** ({finding.because}). {tables.in_words(finding)}".rstrip()
    if drawn:
        yield f"![differences with their intervals]({finding.number}-{finding.name}.png)"
    if finding.comparisons:
        yield tables.comparisons(finding)
    yield f"{READING} {findings.family} comparisons have a p-value."
    if finding.name == "pre-training" and (words := words_alone(results)):
        yield tables.words_alone(words)
    if finding.name == "committee":
        sizes = member_sizes(results)
        if sizes:
            yield "Accuracy by the number of members, over the committees that the seeds form (lowest–highest):"
            yield tables.sizes(sizes)
        yield from deep_learned_less(results)
    if finding.name == "overlap" and results.overlaps:
        yield "Overlap of each corpus with each task's training texts:"
        yield overlaps(results)
    commands = [outcome.command for outcome in results.outcomes if outcome.kind == "finetune"][:1]
    if commands:
        yield "One of its runs by itself, in the folder of the reproduction:\n\n```\n" + commands[0] + "\n```"
    yield "[all findings](index.md)"


def _ablations(results: Results, drawn: bool) -> Iterator[str]:
    few, other, losses = few_labels(results), recipes(results), pretraining_losses(results)
    if few:
        yield "## Few labels"
        if drawn:
            yield "![accuracy over training rows a label](few-labels.png)"
        yield tables.few_labels(few)
    if other:
        yield "## Other kinds and recipes at the same corpus and tokens\n\n" + tables.recipes(other)
    if losses:
        yield "## Pre-training\n\n" + tables.losses(losses)
    if not (few or other or losses):
        yield "Nothing of them has run."
    yield "[all findings](index.md)"


def member_sizes(results: Results) -> dict[str, tuple[tables.Size, ...]]:
    """Committees by size, of every shallow architecture on its largest corpus, by ``task, architecture``."""
    design = Design.of(results.plan)
    found = {
        f"{task}, {architecture}": committee_sizes(results, (architecture, corpus, task))
        for architecture in design.architectures
        if not design.deep(architecture)
        for task in design.tasks
        if (corpus := design.largest_corpus(architecture, task)) is not None
    }
    return {name: sizes for name, sizes in found.items() if len(sizes) > 1}


def deep_learned_less(results: Results) -> Iterator[str]:
    """A sentence for each deep encoder that guesses worse than a shallow one that has seen as many tokens or fewer."""
    design = Design.of(results.plan)
    losses = pretraining_losses(results)
    for deep in (one for one in losses if design.deep(one.architecture)):
        for other in losses:
            equal = other.corpus == deep.corpus and other.tokens_seen <= deep.tokens_seen
            if equal and not design.deep(other.architecture) and min(deep.losses) > max(other.losses):
                nats = f"{mean(deep.losses):.2f} against {mean(other.losses):.2f} nats"
                yield (
                    f"After {deep.tokens_seen / 1e6:.3g} million tokens {deep.architecture} still guesses hidden "
                    f"tokens worse than {other.architecture} ({nats}): against it a comparison tells what so much "
                    "pre-training buys, not what depth is worth once it has been learned."
                )


def overlaps(results: Results) -> str:
    """The measured overlaps as a table."""
    rows = [
        [
            corpus,
            task,
            f"{one.corpus_tokens / 1e6:.2f} M",
            f"{one.shared:.3f}",
            f"{one.seen_often:.3f}",
            f"{one.seen:.3f}",
        ]
        for corpus, tasks in results.overlaps.items()
        for task, one in tasks.items()
    ]
    heads = ["corpus", "task", "tokens", "shared frequency", "seen 100 times", "seen at all"]
    return tables.table(heads, rows, words=2)


def differences(results: Results) -> Iterator[list[str]]:
    """What the paper has and what this plan has: rows of (subject, paper, here)."""
    plan, design = results.plan, Design.of(results.plan)
    recipe = [
        plan.pretraining_of(architecture, corpus)
        for architecture, corpus, _ in design.conditions
        if corpus is not None and architecture in design.architectures
    ]
    tuning = {
        task: {plan.finetuning_of(a, t).epochs for a, _, t in design.conditions if t == task} for task in design.tasks
    }
    vocabulary = plan.tokenizer or f"at most {plan.vocab_size:,} word pieces, learned from the corpora"
    yield ["models", "BERT-6 and variants of BERT-1, hidden size 512–1536", ", ".join(design.architectures)]
    yield ["vocabulary", "bert-base-uncased, 30,522 word pieces", vocabulary]
    sizes = [f"{name} ({_extent(corpus)})" for name, corpus in plan.corpora.items() if corpus.overlap is None]
    yield ["corpora", "20, 40 and 90 thousand articles of 20231101.en, 128 tokens each", ", ".join(sizes)]
    if recipe:
        tokens = sorted({one.max_tokens for one in recipe})
        shown = " or ".join(f"{each / 1e6:g} M" for each in tokens)
        depends = "by corpus or model" if len(tokens) > 1 else "whatever the corpus' size"
        yield ["pre-training", "50 epochs, whatever the corpus' size", f"{shown} tokens, {depends}"]
        optimizers = "; ".join(sorted({f"{one.optimizer}, learning rate {one.learning_rate:g}" for one in recipe}))
        yield ["optimiser", "AdamW, learning rate 5e-5", optimizers]
    for task in design.tasks:
        rows = plan.tasks[task].rows_per_label
        tested = f"{len(results.expected[task]):,}" if task in results.expected else "–"
        epochs = " or ".join(map(str, sorted(tuning[task]))) or "–"
        here = f"at most {rows or 'all'} rows a label, {epochs} epochs; {tested} test rows in all"
        yield [task, PAPER_TASKS.get(task, "–"), here]


def _extent(corpus: Corpus) -> str:
    documents = "all documents" if corpus.articles is None else f"{corpus.articles:,} articles"
    return documents if corpus.first_tokens is None else f"{documents}, {corpus.first_tokens} tokens each"


#: Rows a label that the paper trains and tests on.
PAPER_TASKS = {
    "agnews": "1,000 / 1,000 rows a label",
    "dbpedia": "100 / 100 rows a label",
    "fewrel": "630 / 70 rows a label",
}


def machines(results: Results) -> str:
    """Where the runs were made, and the time they took, a sentence."""
    processors = sorted({str(outcome.machine.get("processor", "unknown")) for outcome in results.outcomes})
    hours = sum(outcome.seconds for outcome in results.outcomes) / 3600
    if not processors:
        return "Nothing has run yet."
    return f"{', '.join(processors)}: {hours:.2f} processor hours in all (measured)."


_STYLE = (
    ":root{--paper:#fbfaf8;--ink:#1a2230;--muted:#5b6675;--line:#dfe4ea;--accent:#0f766e}"
    "@media(prefers-color-scheme:dark){:root{--paper:#11151b;--ink:#e8ecf1;--muted:#9aa6b5;--line:#2d3643;"
    "--accent:#4fd1b8}}"
    "body{margin:0 auto;max-width:1080px;padding:28px 20px 64px;background:var(--paper);color:var(--ink);"
    "font:16px/1.55 system-ui,sans-serif}"
    "a{color:var(--accent)}img{max-width:100%;background:#fff;border-radius:12px}"
    "table{border-collapse:collapse;display:block;overflow-x:auto;font-size:.92rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:7px 11px;border-bottom:1px solid var(--line)}th{color:var(--muted);font-size:.8rem}"
    "pre{overflow-x:auto;border:1px solid var(--line);border-radius:12px;padding:14px 16px;font-size:.88rem}"
)


def _html(title: str, text: str) -> str:
    """The Markdown ``text`` as a page that fetches nothing but the plots beside it."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text.replace(".md)", ".html)"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
