"""What an export says when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tlm_edge.export.batch import Outcome
from tlm_edge.runtime.bundle import Bundle

_REWRITES = {
    "fixed-query": "exact: one row, its query part of the weights",
    "row-query": "exact: the last layer on the rows that are read",
    "fixed-query+row-query": "exact: the last layer of each member on the rows that are read",
    "none": "none: exported as written",
    "transformers": "none: computed as transformers does, whose layers these are",
}


def describe_export(bundle: Bundle) -> str:
    """A few lines: what was made, how large it is, what was measured on it, and what to do next."""
    manifest = bundle.manifest
    size = _bytes(bundle)
    files = manifest.model_files
    model = sum(manifest.files[name].bytes for name in files)
    named = files[0] if len(files) == 1 else f"{files[0]} … {files[-1]}"
    members = f"{manifest.source.members} members, " if manifest.source.members > 1 else ""
    lines = [
        f"made      {bundle.path} ({members}{manifest.target} {manifest.precision})",
        f"size      {size / 1e6:.2f} MB, of which {named} {model / 1e6:.2f} MB",
        f"rewrite   {_rewrite(bundle)}",
    ]
    if manifest.cascade is not None:
        lines.append("cascade   the next member is asked while the vote is undecided; --layout fused makes one file")
    if manifest.delegated is not None:
        lines.append(f"delegated {manifest.delegated:.0%} of the operators to the runtime's fast backend")
    if (parity := manifest.parity) is not None:
        lines.append(
            f"parity    logits within {parity.max_logit_difference:.2g} of PyTorch's on {parity.sequences} token "
            f"sequences of {parity.shortest} to {parity.longest}, alone and padded;\n"
            f"          the same label on {parity.agreement:.1%} of {parity.texts} texts"
        )
    if older := manifest.versions.get("tflite-runtime"):
        lines.append(f"compat    as right in tflite-runtime {older}, where it was run too")
    if (accuracy := manifest.accuracy) is not None:
        lines.append(
            f"accuracy  {accuracy.accuracy:.4f} (macro-F1 {accuracy.macro_f1:.4f}) on {accuracy.texts} texts of "
            f"{accuracy.data}; PyTorch {accuracy.source_accuracy:.4f}"
        )
    else:
        lines.append("accuracy  not measured: no evaluation texts with these labels; give some with --data")
    lines.append(f"next      tlm-edge predict {shlex.quote(str(bundle.path))} 'a text to label'")
    return "\n".join(lines)


def describe_exports(outcomes: Sequence[Outcome]) -> str:
    """What became of each model's layers, a table of its exports, the failures below it, and what to do next."""
    made = [outcome.bundle for outcome in outcomes if outcome.bundle is not None]
    header = ("bundle", "MB", "logits within", "same label", "accuracy", "PyTorch's")
    rows = [header, *map(_row, made)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = list(dict.fromkeys(f"{bundle.manifest.source.name}: rewrite {_rewrite(bundle)}" for bundle in made))
    for name, *figures in rows:
        cells = [f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *cells]))
    lines = lines if made else []
    lines += [f"failed  {outcome.model} to {outcome.target}: {outcome.error}" for outcome in outcomes if outcome.error]
    if made:
        lines.append(f"next    tlm-edge bench {' '.join(shlex.quote(str(bundle.path)) for bundle in made)}")
    return "\n".join(lines)


def _rewrite(bundle: Bundle) -> str:
    return _REWRITES.get(bundle.manifest.rewrite, bundle.manifest.rewrite)


def _row(bundle: Bundle) -> tuple[str, ...]:
    parity, accuracy = bundle.manifest.parity, bundle.manifest.accuracy
    return (
        str(bundle.path),
        f"{_bytes(bundle) / 1e6:.2f}",
        "" if parity is None else f"{parity.max_logit_difference:.2g}",
        "" if parity is None else f"{parity.agreement:.1%}",
        "" if accuracy is None else f"{accuracy.accuracy:.4f}",
        "" if accuracy is None else f"{accuracy.source_accuracy:.4f}",
    )


def _bytes(bundle: Bundle) -> int:
    """What a bundle takes on the device: its files unpacked, or the zip."""
    if bundle.archive is not None:
        return bundle.archive.stat().st_size
    return sum(record.bytes for record in bundle.manifest.files.values())
