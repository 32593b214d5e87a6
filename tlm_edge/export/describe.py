"""What an export says when it is done."""

from __future__ import annotations

import shlex

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
    size = sum(record.bytes for record in manifest.files.values())
    model = manifest.files[manifest.model_file].bytes
    members = f"{manifest.source.members} members, " if manifest.source.members > 1 else ""
    lines = [
        f"made      {bundle.folder} ({members}{manifest.target} {manifest.precision})",
        f"size      {size / 1e6:.2f} MB, of which {manifest.model_file} {model / 1e6:.2f} MB",
        f"rewrite   {_REWRITES.get(manifest.rewrite, manifest.rewrite)}",
    ]
    if (parity := manifest.parity) is not None:
        lines.append(
            f"parity    logits within {parity.max_logit_difference:.2g} of PyTorch's on {parity.sequences} token "
            f"sequences of {parity.shortest} to {parity.longest}, alone and padded;\n"
            f"          the same label on {parity.agreement:.1%} of {parity.texts} texts"
        )
    if (accuracy := manifest.accuracy) is not None:
        lines.append(
            f"accuracy  {accuracy.accuracy:.4f} (macro-F1 {accuracy.macro_f1:.4f}) on {accuracy.texts} texts of "
            f"{accuracy.data}; PyTorch {accuracy.source_accuracy:.4f}"
        )
    else:
        lines.append("accuracy  not measured: no evaluation texts with these labels; give some with --data")
    lines.append(f"next      tlm-edge predict {shlex.quote(str(bundle.folder))} 'a text to label'")
    return "\n".join(lines)
