"""What a bundle holds, file by file, from its manifest: no PyTorch needed."""

from __future__ import annotations

from dataclasses import dataclass

from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.manifest import TensorSpec


@dataclass(frozen=True)
class FilePart:
    """One file of a bundle, unpacked, and its share of them all."""

    name: str
    bytes: int
    share: float


@dataclass(frozen=True)
class Contents:
    """A bundle: its files, the largest first, and the tensors that go in and out.

    ``archive_bytes`` is the size of the zip, null for a folder; ``bytes_per_parameter`` the model file's size over the
    parameters of what was exported: 4 in float32, 1 in int8, less where the rewrite left some out.
    """

    bundle: str
    target: str
    precision: str
    rewrite: str
    members: int
    max_length: int
    lengths: tuple[int, ...]
    files: tuple[FilePart, ...]
    total_bytes: int
    archive_bytes: int | None
    parameters: int
    bytes_per_parameter: float
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def inspect_bundle(bundle: Bundle) -> Contents:
    """Count what an opened bundle holds."""
    manifest = bundle.manifest
    total = sum(record.bytes for record in manifest.files.values())
    sizes = sorted(((record.bytes, name) for name, record in manifest.files.items()), key=lambda one: (-one[0], one[1]))
    return Contents(
        bundle=manifest.name,
        target=manifest.target,
        precision=manifest.precision,
        rewrite=manifest.rewrite,
        members=manifest.source.members,
        max_length=manifest.max_length,
        lengths=manifest.lengths,
        files=tuple(FilePart(name, size, size / max(total, 1)) for size, name in sizes),
        total_bytes=total,
        archive_bytes=bundle.archive.stat().st_size if bundle.archive else None,
        parameters=manifest.source.parameters,
        bytes_per_parameter=sum(manifest.files[name].bytes for name in manifest.model_files)
        / max(manifest.source.parameters, 1),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
    )


def format_contents(contents: Contents) -> str:
    """A table for people: files, then tensors."""
    members = f"{contents.members} members, " if contents.members > 1 else ""
    zipped = "" if contents.archive_bytes is None else f", {contents.archive_bytes:,} bytes zipped"
    rows = [(part.name, f"{part.bytes:,}", f"{part.share:.1%}") for part in contents.files]
    rows = [("file", "bytes", "share"), *rows, ("total", f"{contents.total_bytes:,}", "")]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lengths = f"padded to {', '.join(map(str, contents.lengths))}" if contents.lengths else "of any length"
    return "\n".join(
        [
            f"{contents.bundle}: {members}{contents.target} {contents.precision}, rewrite {contents.rewrite}{zipped}",
            *(f"{name:<{widths[0]}}  {size:>{widths[1]}}  {share:>{widths[2]}}".rstrip() for name, size, share in rows),
            f"weights  {contents.parameters:,} parameters exported, {contents.bytes_per_parameter:.2f} bytes each",
            f"inputs   {_signature(contents.inputs)}; texts of up to {contents.max_length} tokens, {lengths}",
            f"outputs  {_signature(contents.outputs)}",
        ]
    )


def _signature(tensors: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{tensor.name} {tensor.dtype} ({', '.join(map(str, tensor.shape))})" for tensor in tensors)
