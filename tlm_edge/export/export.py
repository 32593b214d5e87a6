"""From a checkpoint or committee to a bundle that has passed its gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from tlm_edge import __version__
from tlm_edge.compile.graph import deployable, rewrite_kind
from tlm_edge.export.parity import measure, require
from tlm_edge.export.registry import Conversion, Converted, Target, require_target
from tlm_edge.export.source import SourceModel, load_source
from tlm_edge.export.texts import sequences_of_many_lengths, texts_for
from tlm_edge.files import new_folder, refuse_existing, sha256_file, write_json
from tlm_edge.modeling.checkpoint import TOKENIZER_FILES
from tlm_edge.modeling.config import read_config, read_content
from tlm_edge.runtime.bundle import Bundle, open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE, PARITY_FILE, SCHEMA_VERSION, FileRecord, Manifest
from tlm_edge.runtime.parity import Reference, write_reference
from tlm_edge.runtime.sessions import open_session
from tlm_edge.shipped import resolve_model

#: Lengths in tokens that are prepared for runtimes whose inputs can't vary.
LENGTHS = (16, 32, 64, 128, 256, 512)

#: Where bundles go when no place is named.
OUT = Path("tlm-edge-out")


def export_model(
    model: str | Path,
    target: str = "onnx",
    precision: str = "int8",
    out: Path | None = None,
    *,
    max_length: int | None = None,
    lengths: Sequence[int] = LENGTHS,
    rewritten: bool = True,
    data: str | None = None,
    force: bool = False,
) -> Bundle:
    """Export a checkpoint, committee or shipped model and return the opened bundle.

    ``out`` is ``tlm-edge-out/NAME-TARGET-PRECISION`` if ``None``. Texts are cut to ``max_length`` tokens, the model's
    positions if ``None``. ``lengths`` are those to prepare where a target's inputs can't vary. ``rewritten`` false
    exports the model as written. ``data`` are labelled texts to check accuracy on, the shipped evaluation texts if
    ``None`` and their labels are the model's.
    Raises ``UserError`` if anything of this can't be had, and if the file fails its gate; then nothing is left behind.
    """
    path = resolve_model(model)
    kind = require_target(target, precision)
    source = load_source(path, max_length)
    out = out or OUT / f"{source.name}-{target}-{precision}"
    refuse_existing(out, force=force)
    checks = texts_for(source.labels, data)
    sequences = sequences_of_many_lengths(source, checks.texts)
    reference = Reference(sequences, source.logits(sequences))
    graph = deployable(source.members, source.cls_token_id, rewritten=rewritten)
    with new_folder(out, force=force) as folder:
        conversion = Conversion(precision, source.max_length, lengths_up_to(source.max_length, lengths), sequences)
        converted = kind.convert(graph, folder / kind.model_file, conversion)
        _write_tokenizer(source, folder)
        _write_config(source, folder)
        write_reference(folder / PARITY_FILE, reference)
        manifest = _manifest(source, kind, precision, folder, rewrite_kind(graph), converted)
        write_json(folder / MANIFEST_FILE, manifest.to_json())
        signature = open_session(Bundle(folder, manifest), threads=1)
        manifest = replace(manifest, inputs=signature.inputs(), outputs=signature.outputs())
        write_json(folder / MANIFEST_FILE, manifest.to_json())
        parity, accuracy = measure(folder, source, reference, checks, precision)
        require(parity, accuracy)
        write_json(folder / MANIFEST_FILE, replace(manifest, parity=parity, accuracy=accuracy).to_json())
    return open_bundle(out)


def lengths_up_to(max_length: int, lengths: Sequence[int]) -> tuple[int, ...]:
    """Those of ``lengths`` below ``max_length``, and it, ascending. Raises ``UserError`` if one is no length."""
    if any(length < 1 for length in lengths):
        raise UserError(f"lengths of {', '.join(map(str, lengths))} tokens: each has to be at least 1")
    return (*sorted({length for length in lengths if length < max_length}), max_length)


def _write_tokenizer(source: SourceModel, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, folder / name)
    if not (folder / "tokenizer.json").is_file():
        source.tokenizer.save(str(folder / "tokenizer.json"))
    is_word_piece = json.loads(source.tokenizer.to_str())["model"]["type"] == "WordPiece"
    if is_word_piece and not (folder / "vocab.txt").is_file():
        vocabulary = source.tokenizer.get_vocab()
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")


def _write_config(source: SourceModel, folder: Path) -> None:
    """The configuration by which optimum's ``ORTModelForSequenceClassification`` loads a single model."""
    if not source.is_committee:
        content = read_content(source.folder)
        if content["model_type"] in ("bert", "tlm-bert"):
            content = read_config(source.folder).to_json("SequenceClassification")
        for name in ("_name_or_path", "auto_map"):  # a path of the machine it was saved on, and code
            content.pop(name, None)
        (folder / "config.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _manifest(
    source: SourceModel, target: Target, precision: str, folder: Path, rewrite: str, converted: Converted
) -> Manifest:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=f"{source.name}-{target.name}-{precision}",
        target=target.name,
        precision=precision,
        rewrite=rewrite,
        delegated=converted.delegated,
        labels=source.labels,
        max_length=source.max_length,
        lengths=converted.lengths,
        pad_token_id=source.pad_token_id,
        model_file=target.model_file,
        tokenizer_file="tokenizer.json",
        inputs=(),
        outputs=(),
        files={path.name: FileRecord(sha256_file(path), path.stat().st_size) for path in files},
        source=source.describe(),
        versions={"tlm-edge": __version__} | {name: version(name) for name in target.packages},
        parity=None,
        accuracy=None,
    )
