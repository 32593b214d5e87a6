"""From a checkpoint or committee to a bundle that has passed its gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from tlm_edge import __version__
from tlm_edge.compile.graph import FOREIGN, deployable, rewrite_kind
from tlm_edge.export.archive import write_archive
from tlm_edge.export.parity import GateError, measure, require
from tlm_edge.export.prepare import Prepared, bucket_lengths, prepare
from tlm_edge.export.registry import Conversion, Converted, OlderRuntime, Target, require_target
from tlm_edge.export.source import SourceModel
from tlm_edge.files import new_file, new_folder, refuse_existing, scratch_folder, sha256_file, write_json
from tlm_edge.modeling.checkpoint import TOKENIZER_FILES
from tlm_edge.modeling.config import read_config, read_content
from tlm_edge.runtime.bundle import Bundle, open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.layout import Layout
from tlm_edge.runtime.manifest import MANIFEST_FILE, PARITY_FILE, SCHEMA_VERSION, FileRecord, Manifest
from tlm_edge.runtime.parity import write_reference
from tlm_edge.runtime.sessions import open_session

#: Lengths in tokens that are prepared for runtimes whose inputs can't vary.
LENGTHS = (16, 32, 64, 128, 256, 512)

#: Where bundles go when no place is named.
OUT = Path("tlm-edge-out")

#: Told what happens, a line at a time.
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Options:
    """How a bundle is made.

    ``buckets`` are the lengths in tokens to prepare where a target's inputs can't vary, the usual ones if ``None``;
    ``rewritten`` false exports the model as written. With an ``accuracy_floor``, in points below PyTorch's accuracy, a
    file that fails its gate is made again by the target's next gentler recipe. ``zipped`` makes one file of it, and
    ``force`` replaces what is there. ``compat`` names an older runtime that the file has to be right in as well.
    """

    buckets: tuple[int, ...] | None = None
    rewritten: bool = True
    accuracy_floor: float | None = None
    zipped: bool = False
    force: bool = False
    compat: str | None = None


def export_model(
    model: str | Path,
    target: str = "onnx",
    precision: str = "int8",
    out: Path | None = None,
    options: Options = Options(),
    *,
    tell: Tell = print,
    max_length: int | None = None,
    data: str | None = None,
    calibration_data: Path | None = None,
    layout: Layout | None = None,
    **more: Any,
) -> Bundle:
    """Export a checkpoint, committee or shipped model and return the opened bundle.

    ``max_length``, ``data``, ``calibration_data`` and ``layout`` are those of ``prepare``; ``more`` are fields of
    ``options``.
    Raises as ``prepare`` and ``export_prepared`` do.
    """
    options = replace(options, **more)
    require_target(target, precision)
    if out is not None:
        refuse_existing(_named(out, options), force=options.force)
    prepared = prepare(model, max_length=max_length, data=data, calibration_data=calibration_data, layout=layout)
    return export_prepared(prepared, target, precision, out, options, tell)


def export_prepared(
    prepared: Prepared,
    target: str,
    precision: str,
    out: Path | None = None,
    options: Options = Options(),
    tell: Tell = print,
    folder: Path = OUT,
) -> Bundle:
    """Export a prepared model to one target and return the opened bundle.

    ``out`` is NAME-TARGET-PRECISION in ``folder`` if ``None``; ``.zip`` is added where it is to be one. ``tell`` is
    told when another recipe is taken than was asked for.
    Raises ``UserError`` if this can't be had, ``GateError`` if no file passes its gate; then nothing is left behind.
    """
    kind = require_target(target, precision)
    if options.accuracy_floor is not None and prepared.checks.labels is None:
        raise UserError("--accuracy-floor needs texts with the model's labels: give some with --data")
    older = None if options.compat is None else kind.older_runtime(options.compat)
    if older is not None:
        older.python()
        if precision in older.instead:
            tell(f"{older.name} computes {precision} wrongly: making {older.instead[precision]} instead")
            precision = older.instead[precision]
    recipes = (precision, *kind.gentler(precision))
    for recipe, gentler in zip(recipes, (*recipes[1:], None), strict=True):
        place = _named(out or folder / f"{prepared.source.name}-{target}-{recipe}", options)
        try:
            _write_bundle(prepared, kind, recipe, place, options, older)
            return open_bundle(place)
        except GateError as error:
            failure = f"the {target} {recipe} file of {prepared.source.name} failed its check: {error}; it was deleted"
            if options.accuracy_floor is None or gentler is None:
                raise GateError(f"{failure}. Try --precision {gentler}" if gentler else failure) from error
            tell(f"{failure}. Trying {gentler}")
    raise AssertionError("the last recipe either passes or raises")


def _write_bundle(
    prepared: Prepared, kind: Target, precision: str, out: Path, options: Options, older: OlderRuntime | None
) -> None:
    source = prepared.source
    lengths = bucket_lengths(prepared, options.buckets, LENGTHS)
    conversion = Conversion(precision, source.max_length, lengths, prepared.calibration)
    with _new_bundle(out, options.force) as folder:
        graphs = _graphs(source, kind, options)
        made = [kind.convert(graph, folder / name, conversion) for name, graph in graphs.items()]
        _write_tokenizer(source, folder)
        _write_config(source, folder)
        write_reference(folder / PARITY_FILE, prepared.reference)
        rewrite = rewrite_kind(nn.ModuleList(graphs.values()))
        manifest = _manifest(source, kind, precision, folder, rewrite, made[0])
        if source.layout != "fused":
            manifest = replace(
                manifest, model_file=next(iter(graphs)), member_files=tuple(graphs), cascade=source.cascade
            )
        manifest = _with_signature(manifest, folder)
        write_json(folder / MANIFEST_FILE, manifest.to_json())
        parity, accuracy = measure(folder, prepared, precision, options.accuracy_floor)
        require(parity, accuracy)
        if older is not None:
            _check_in(older, folder, prepared, precision, options)
            manifest = replace(manifest, versions=manifest.versions | older.packages)
        write_json(folder / MANIFEST_FILE, replace(manifest, parity=parity, accuracy=accuracy).to_json())


def _graphs(source: SourceModel, kind: Target, options: Options) -> dict[str, nn.Module]:
    """What to convert, by the name of its file: members that are to lie apart one by one, anything else as a whole."""
    if source.layout == "fused":
        return {kind.model_file: _whole(source, options)}
    suffix = Path(kind.model_file).suffix
    return {
        f"member-{number:02d}{suffix}": deployable([member], source.cls_token_id, rewritten=options.rewritten)
        for number, member in enumerate(source.members)
    }


def _whole(source: SourceModel, options: Options) -> nn.Module:
    return deployable(source.members, source.cls_token_id, rewritten=options.rewritten, weights=source.weights)


def _check_in(older: OlderRuntime, folder: Path, prepared: Prepared, precision: str, options: Options) -> None:
    """Raise ``GateError`` unless the bundle is right in an older runtime too."""
    try:
        require(*measure(folder, prepared, precision, options.accuracy_floor, older.python()))
    except GateError as error:
        raise GateError(f"in {older.name}, {error}") from error


def _with_signature(manifest: Manifest, folder: Path) -> Manifest:
    """``manifest`` with the inputs and outputs that the runtime finds in the file.

    Raises ``GateError`` if it can't load it.
    """
    try:
        session = open_session(Bundle(folder, manifest), threads=1)
    except UserError as error:
        raise GateError(str(error)) from error
    return replace(manifest, inputs=session.inputs(), outputs=session.outputs())


@contextmanager
def _new_bundle(out: Path, force: bool) -> Iterator[Path]:
    """A folder to write the bundle ``out`` in; it appears there whole, zipped if that is its name, or not at all."""
    refuse_existing(out, force=force)
    if out.suffix != ".zip":
        with new_folder(out, force=force) as folder:
            yield folder
        return
    with new_file(out, force=force) as file, scratch_folder(out) as folder:
        yield folder
        write_archive(folder, file)


def _named(out: Path, options: Options) -> Path:
    return out.with_name(f"{out.name}.zip") if options.zipped and out.suffix != ".zip" else out


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
        write_json(folder / "config.json", content)


def _manifest(
    source: SourceModel, target: Target, precision: str, folder: Path, rewrite: str, converted: Converted
) -> Manifest:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    packages = (*target.packages, "transformers") if rewrite == FOREIGN else target.packages
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
        versions={"tlm-edge": __version__} | {name: version(name) for name in packages},
        parity=None,
        accuracy=None,
        weights=source.weights,
    )
