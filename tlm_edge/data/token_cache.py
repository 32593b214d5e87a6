"""A corpus as token ids on disk: tokenised once, memory-mapped afterwards."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from tlm_edge.data import corpus, hub
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.files import new_folder, sha256_file
from tlm_edge.runtime.cache import CACHE_VARIABLE, cache_root
from tlm_edge.runtime.errors import UserError

# Part of every key: raise it when the same corpus would be cut or stored differently.
_FORMAT = 1
# Characters of text handed to a thread at once: enough to hide the hand-over, little enough to hold several.
_BATCH_CHARACTERS = 256 * 1024
# English has four to five; texts with more are encoded whole after all.
_CHARACTERS_PER_TOKEN = 8
_WHITE_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class TokenCache:
    """The token ids of a corpus, one document after another, without special tokens."""

    #: (total,) uint16, or uint32 where the vocabulary has more than 65,536 entries; memory-mapped, read-only.
    tokens: np.memmap
    #: (documents + 1,) int64: document i is ``tokens[starts[i]:starts[i + 1]]``; memory-mapped, read-only.
    starts: np.memmap
    folder: Path


def load_token_cache(
    sources: Sequence[str],
    tokenizer_folder: str | Path,
    *,
    articles: int | None = None,
    first_tokens: int | None = None,
    workers: int | None = None,
) -> TokenCache:
    """The tokens of the documents of ``sources`` (see ``corpus.documents``), from the cache or tokenised now.

    ``first_tokens`` keeps so many tokens of each document; None keeps whole documents. ``workers`` is the number of
    threads (None: one a core); the ``tokenizers`` library works outside Python's lock, so threads do what processes
    would. Memory does not depend on the size of the corpus, apart from a byte per document with ``articles``.

    The cache lies in the user's cache folder, or in ``TLM_EDGE_CACHE``, under a key made of the content of the
    tokenizer and of the files and of the options. It is renamed to its place when complete; a second process that
    wants the same one waits for the first. Raises ``UserError`` as ``corpus.documents`` does, and where the cache
    can't be written.
    """
    if first_tokens is not None and first_tokens < 1:
        raise UserError(f"--first-tokens {first_tokens}: give at least 1")
    tokenizer = load_tokenizer(tokenizer_folder)
    resolved = corpus.resolve_sources(sources)
    key = _key(resolved, tokenizer, articles, first_tokens)
    root = cache_root() / "tokens"
    folder = root / key
    with _write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root / f"{key}.lock"):
            cache = _open(folder)
            if cache is None:
                for interrupted in root.glob(f".{key}.*"):
                    shutil.rmtree(interrupted, ignore_errors=True)
                with (
                    new_folder(folder, force=True) as unfinished,
                    _progress(resolved) as progress,
                    _own_threads_only(),
                ):
                    texts = corpus.documents(sources, articles, on_read=progress.read)
                    _tokenize(texts, tokenizer, unfinished, first_tokens, workers or os.cpu_count() or 1, progress)
                cache = _open(folder)
    if cache is None:
        raise UserError(f"{folder}: the token cache changed while it was made; delete it and try again")
    return cache


def _key(sources: Sequence[corpus.Source], tokenizer: Tokenizer, articles: int | None, first_tokens: int | None) -> str:
    contents = [
        hub.fingerprint(source) if isinstance(source, hub.HubName) else sha256_file(source) for source in sources
    ]
    # How a file is read depends on its name's ending too.
    names = [source.name if isinstance(source, Path) else str(source) for source in sources]
    tokenizer_digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    identity = json.dumps([_FORMAT, tokenizer_digest, contents, names, articles, first_tokens])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _open(folder: Path) -> TokenCache | None:
    """The cache in ``folder``; None if there is none, or one whose files have not the sizes they were written with."""
    try:
        size = json.loads((folder / "size.json").read_text(encoding="utf-8"))
        dtype = np.dtype(size["dtype"])
        sizes = (folder / "tokens.bin").stat().st_size, (folder / "starts.bin").stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sizes != (size["tokens"] * dtype.itemsize, (size["documents"] + 1) * 8):
        return None
    tokens = np.memmap(folder / "tokens.bin", dtype=dtype, mode="r")
    starts = np.memmap(folder / "starts.bin", dtype=np.int64, mode="r")
    return TokenCache(tokens, starts, folder)


def _tokenize(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    folder: Path,
    first_tokens: int | None,
    workers: int,
    progress: _Progress,
) -> None:
    dtype = np.dtype(np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32)

    def encode(batch: list[str]) -> list[np.ndarray]:
        return [np.array(ids, dtype=dtype) for ids in _encode(tokenizer, batch, first_tokens)]

    total, count = 0, 0
    with (
        (folder / "tokens.bin").open("wb") as tokens_file,
        (folder / "starts.bin").open("wb") as starts_file,
    ):
        starts_file.write(np.int64(0).tobytes())
        for batch in _in_order(encode, _batches(texts), workers):
            lengths = np.array([len(ids) for ids in batch], dtype=np.int64)
            tokens_file.write(np.concatenate(batch).tobytes())
            starts_file.write((total + np.cumsum(lengths)).tobytes())
            total += int(lengths.sum())
            count += len(batch)
            progress.tell(f"tokenising: {count:,} documents, {total:,} tokens")
    if total == 0:
        raise UserError("the corpus has no tokens: the tokenizer keeps nothing of its text")
    content = {"documents": count, "tokens": total, "dtype": dtype.name}
    (folder / "size.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def _encode(tokenizer: Tokenizer, texts: list[str], first_tokens: int | None) -> list[list[int]]:
    """Token ids of each text without special tokens, ``first_tokens`` at most."""
    beginnings = texts if first_tokens is None else [_beginning(text, first_tokens) for text in texts]
    encoded = [encoding.ids for encoding in tokenizer.encode_batch_fast(beginnings, add_special_tokens=False)]
    if first_tokens is None:
        return encoded
    short = [i for i, ids in enumerate(encoded) if len(ids) < first_tokens and len(beginnings[i]) < len(texts[i])]
    whole = tokenizer.encode_batch_fast([texts[i] for i in short], add_special_tokens=False)
    for i, encoding in zip(short, whole, strict=True):
        encoded[i] = encoding.ids
    return [ids[:first_tokens] for ids in encoded]


def _beginning(text: str, first_tokens: int) -> str:
    """So much of a text that it hardly has fewer tokens, cut before white space, where no token is cut with it."""
    cut = _WHITE_SPACE.search(text, first_tokens * _CHARACTERS_PER_TOKEN)
    return text if cut is None else text[: cut.start()]


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _in_order(
    encode: Callable[[list[str]], list[np.ndarray]], batches: Iterable[list[str]], workers: int
) -> Iterator[list[np.ndarray]]:
    """Encode batches in ``workers`` threads, yielding results in order and holding a few batches at most."""
    pending: deque[Future[list[np.ndarray]]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        for batch in batches:
            pending.append(threads.submit(encode, batch))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # the kernel lets go of it when the process ends, however it ends
        yield


@contextmanager
def _write_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the token cache can't be written in {root}: {error.strerror or error}; "
            f"make room or rights there, or name another folder in {CACHE_VARIABLE}"
        ) from error


@contextmanager
def _own_threads_only() -> Iterator[None]:
    """Keep the library from starting a thread a core for every one of ours."""
    variable = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(variable)
    os.environ[variable] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@dataclass(frozen=True)
class _Progress:
    """A bar on the terminal over the bytes of a corpus' files."""

    bar: Progress
    task: TaskID

    def read(self, size: int) -> None:
        self.bar.advance(self.task, size)

    def tell(self, what: str) -> None:
        self.bar.update(self.task, description=what)


@contextmanager
def _progress(sources: Sequence[corpus.Source]) -> Iterator[_Progress]:
    sizes = [source.stat().st_size for source in sources if isinstance(source, Path)]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        # How much a hub dataset holds is not known beforehand.
        total = sum(sizes) if len(sizes) == len(sources) else None
        yield _Progress(bar, bar.add_task("tokenising", total=total))
