"""Unlabelled text for pre-training: files, folders, globs and hub datasets as one stream of documents."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tlm_edge.data import hub
from tlm_edge.data.lines import read_lines, suffix
from tlm_edge.runtime.errors import UserError

#: Seed of the shuffle that ``articles`` draws from; the one of arXiv 2507.14871.
ARTICLES_SEED = 42

_TEXT_SUFFIXES = frozenset({".txt", ".text", ".md"})
_JSON_LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".arrow", ".zip", ".xml", ".bz2", ".xz", ".zst"})
_MAX_DOCUMENT_CHARACTERS = 1024 * 1024

Source = Path | hub.HubName
#: Told how many bytes of the sources' files were read since the last time.
OnRead = Callable[[int], None]


def documents(sources: Sequence[str], articles: int | None = None, *, on_read: OnRead | None = None) -> Iterator[str]:
    """Stream the documents of ``sources`` in the order given; blank documents are left out.

    A source is a JSON Lines file (one object with ``text`` a line), a text file (a blank line ends a document), either
    of them gzip'd, a folder or a glob of such files (sorted by path), or the name of a hub dataset. A file that several
    sources name is read once.

    ``articles`` keeps the first so many of a shuffle with seed 42, which is how arXiv 2507.14871 draws its subsets:
    the set equals that of ``datasets.Dataset.shuffle(seed=42).select(range(articles))``, and a smaller one is contained
    in a larger one. The kept documents come in the order of the sources. This reads the sources twice; ``on_read``
    hears of the second time.

    Raises ``UserError`` for sources that don't exist, can't be read or hold no text, and for too few articles.
    """
    resolved = resolve_sources(sources)
    if articles is None:
        yield from _all_documents(resolved, on_read)
        return
    if articles < 1:
        raise UserError(f"--articles {articles}: give at least 1")
    available = sum(1 for _ in _all_documents(resolved, None))
    if articles > available:
        raise UserError(f"--articles {articles}: the corpus has only {available} documents; ask for fewer")
    kept = np.random.default_rng(ARTICLES_SEED).permutation(available)[:articles]
    wanted = np.zeros(available, dtype=bool)
    wanted[kept] = True
    yield from (text for text, keep in zip(_all_documents(resolved, on_read), wanted, strict=True) if keep)


def resolve_sources(sources: Sequence[str]) -> list[Source]:
    """The files and hub datasets that ``sources`` mean, in order, without repetitions.

    Raises ``UserError`` for a source that is none of these, an empty folder and a glob that matches nothing.
    """
    if not sources:
        raise UserError("no corpus: give text files, JSON Lines files, folders, globs or a hub name with --corpus")
    found: dict[Source, None] = {}
    for source in sources:
        found.update(dict.fromkeys(_resolve(source)))
    return list(found)


def _resolve(source: str) -> list[Source]:
    path = Path(source).expanduser()
    if path.is_dir():
        if hub.holds_parquet(path):
            return [hub.HubName(str(path))]
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_corpus_file(file, path)]
        if not files:
            raise UserError(f"{path}: no text in this folder; it should hold .txt or .jsonl files (.gz too)")
        return list(files)
    if path.exists():
        return [path]
    if glob.has_magic(source):
        matches = sorted(file for file in map(Path, glob.iglob(str(path), recursive=True)) if file.is_file())  # noqa: PTH207
        if not matches:
            raise UserError(f"{source}: no file matches")
        return list(matches)
    name = hub.parse_name(source)
    if name is None:
        raise UserError(f"{source}: no such file or folder; check the path (hub datasets are named owner/name)")
    return [name]


def _is_corpus_file(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and suffix(file) in _TEXT_SUFFIXES | _JSON_LINES_SUFFIXES and file.stem.upper() != "README"


def _all_documents(sources: Sequence[Source], on_read: OnRead | None) -> Iterator[str]:
    for source in sources:
        empty = True
        for text in _source_documents(source, on_read):
            if text and not text.isspace():
                empty = False
                yield text
        if empty:
            raise UserError(f"{source}: no text in it; leave it out, or check the file")


def _source_documents(source: Source, on_read: OnRead | None) -> Iterator[str]:
    if isinstance(source, hub.HubName):
        return hub.corpus_texts(source)
    ending = suffix(source)
    if ending in _TABLE_SUFFIXES:
        raise UserError(f"{source}: a corpus is text or JSON Lines with a field 'text'; convert it")
    if ending in _JSON_LINES_SUFFIXES or (ending not in _TEXT_SUFFIXES and _starts_with_object(source)):
        return _json_lines_documents(source, on_read)
    return _text_documents(source, on_read)


def _starts_with_object(file: Path) -> bool:
    first = next((line for _, line in read_lines(file) if not line.isspace()), "")
    try:
        return isinstance(json.loads(first), dict)
    except ValueError:
        return False


def _json_lines_documents(file: Path, on_read: OnRead | None) -> Iterator[str]:
    for number, line in read_lines(file, on_read=on_read):
        if line.isspace():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"{file}, line {number}: not JSON ({error}); each line is one JSON object") from error
        if not isinstance(record, dict) or not isinstance(text := record.get("text"), str):
            raise UserError(f"{file}, line {number}: no string 'text'; each line is an object with the field 'text'")
        yield encodable(text, f"{file}, line {number}")


def encodable(text: str, place: str) -> str:
    """``text``, if it can be written as UTF-8; JSON's escapes can spell lone surrogates, which no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{place}: {text[error.start]!r} is half a surrogate pair, not a character; remove it"
        ) from error
    return text


def _text_documents(file: Path, on_read: OnRead | None) -> Iterator[str]:
    lines: list[str] = []
    size = 0
    for _, line in read_lines(file, on_read=on_read):
        lines.append(line)
        size += len(line)
        # A file without blank lines is cut at a line end now and then, so that memory stays bounded.
        if line.isspace() or size >= _MAX_DOCUMENT_CHARACTERS:
            yield "".join(lines).strip()
            lines, size = [], 0
    yield "".join(lines).strip()
