"""WordPiece tokenizers: trained here, or taken from an original BERT vocabulary; written for ``AutoTokenizer``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

from tlm_edge.data.corpus import documents
from tlm_edge.data.slow_tokenizer import SLOW_FILES, convert_slow_tokenizer
from tlm_edge.files import new_folder, refuse_existing
from tlm_edge.runtime.errors import UserError

#: The special tokens of a tokenizer trained here, in the order of their ids from 0.
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
#: Length that a tokenizer is written for when the caller knows none, in tokens with [CLS] and [SEP].
DEFAULT_MAX_LENGTH = 128

_CHARACTER_COVERAGE = 0.9999
_COUNTED_AT_ONCE = 1 << 20


def train_tokenizer(
    sources: Sequence[str],
    vocab_size: int,
    out: Path,
    lowercase: bool = True,
    *,
    max_length: int = DEFAULT_MAX_LENGTH,
    force: bool = False,
) -> Tokenizer:
    """Train a WordPiece tokenizer on the documents of ``sources`` and write it to the folder ``out``.

    ``vocab_size`` counts the special tokens and is an upper bound: a small corpus has fewer word pieces. The alphabet
    is ASCII and the most frequent characters that make up 99.99 % of the text; words with others become [UNK], which
    spares vocabulary for word pieces (Wikipedia has some thousand characters that occur a few times). The same corpus
    gives the same tokenizer, which is why the alphabet is not left to the trainer: it breaks ties in no fixed order.

    The folder loads with ``AutoTokenizer``. Raises ``UserError`` for a corpus that can't be read, a vocabulary too
    small for the alphabet, and an ``out`` that exists unless ``force``.
    """
    refuse_existing(out, force=force)
    tokenizer = _bert_tokenizer(WordPiece(unk_token="[UNK]"), lowercase)
    alphabet = _alphabet(documents(sources), tokenizer)
    isolated = BertPreTokenizer()
    inner = [f"##{letter}" for letter in alphabet if len(isolated.pre_tokenize_str(f"a{letter}a")) == 1]
    least = len(SPECIAL_TOKENS) + len(alphabet) + len(inner)
    if vocab_size < least:
        raise UserError(f"--vocab-size {vocab_size}: the corpus' characters alone take {least}; give more than that")
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        # As special tokens the letters within words get fixed ids, on which the trainer's ties depend.
        special_tokens=[*SPECIAL_TOKENS, *inner],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=sys.stderr.isatty(),
    )
    tokenizer.train_from_iterator(documents(sources), trainer)
    numbers = tokenizer.get_vocab(with_added_tokens=False)
    pieces = [*SPECIAL_TOKENS, *alphabet, *inner]
    pieces += sorted(numbers.keys() - set(pieces), key=numbers.__getitem__)
    tokenizer = _complete(pieces, lowercase)
    with new_folder(out, force=force) as folder:
        save_tokenizer(tokenizer, folder, max_length=max_length)
    return tokenizer


def tokenizer_from_vocabulary(vocabulary: Path, *, lowercase: bool | None = None) -> Tokenizer:
    """A BERT tokenizer from a ``vocab.txt`` (one word piece a line, its number the id), such as bert-base-uncased's.

    ``lowercase`` None looks at the vocabulary: one without any upper-case letter outside [] is lower-case.
    Raises ``UserError`` if the file is no such vocabulary.
    """
    try:
        tokens = vocabulary.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{vocabulary}: not a vocabulary that can be read ({error})") from error
    tokens = [token.rstrip("\r") for token in tokens]
    if tokens and not tokens[-1]:
        tokens.pop()
    missing = [token for token in SPECIAL_TOKENS if token not in tokens]
    if missing:
        raise UserError(f"{vocabulary}: not a BERT vocabulary, {', '.join(missing)} missing; it has one token a line")
    first_lines: dict[str, int] = {}
    for number, token in enumerate(tokens, 1):
        if first_lines.setdefault(token, number) != number:
            raise UserError(
                f"{vocabulary}, line {number}: {token!r} is on line {first_lines[token]} already; a token has one id"
            )
    if lowercase is None:
        lowercase = not any(token != token.lower() for token in tokens if not token.startswith("["))
    return _complete(tokens, lowercase)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a folder with ``tokenizer.json``, or with ``vocab.txt`` and an optional configuration.

    Either file itself will do as well. One in an older form than these (see ``SLOW_FILES``) transformers converts.
    Padding and truncation are off, whatever was stored.
    Raises ``UserError`` if there is none, or if it can't be read, ``MissingExtraError`` if transformers is missing.
    """
    path = Path(folder)
    if path.is_file():
        return _load_json(path) if path.suffix == ".json" else tokenizer_from_vocabulary(path)
    if (path / "tokenizer.json").is_file():
        return _load_json(path / "tokenizer.json")
    if (path / "vocab.txt").is_file():
        return tokenizer_from_vocabulary(path / "vocab.txt", lowercase=_stored_lowercase(path))
    if any((path / name).is_file() for name in SLOW_FILES):
        return convert_slow_tokenizer(path)
    raise UserError(f"{path}: no tokenizer here (tokenizer.json or vocab.txt); make one with tlm-edge tokenizer train")


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, max_length: int = DEFAULT_MAX_LENGTH) -> None:
    """Write ``tokenizer.json``, ``vocab.txt`` and the two files that ``AutoTokenizer`` reads into a folder."""
    tokenizer.save(str(folder / "tokenizer.json"))
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(vocab, key=vocab.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    lowercase = bool(json.loads(tokenizer.to_str())["normalizer"]["lowercase"])
    special = [str(token.content) for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    names = {
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
    }
    additional = [token for token in special if token not in SPECIAL_TOKENS]
    extra = {"additional_special_tokens": additional} if additional else {}
    config = {
        **names,
        **extra,
        "clean_up_tokenization_spaces": False,
        "do_lower_case": lowercase,
        "model_max_length": max_length,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
    }
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", {**names, **extra})):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(source: str | Path, out: Path, *, force: bool = False) -> None:
    """Write the tokenizer of ``source`` (see ``load_tokenizer``) as a complete folder ``out``."""
    path = Path(source)
    complete = path.is_dir() and (path / "tokenizer.json").is_file()
    with new_folder(out, force=force) as folder:
        if not complete:
            save_tokenizer(load_tokenizer(path), folder)
            return
        for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
            if (path / name).is_file():
                shutil.copyfile(path / name, folder / name)


def convert_tokenizer(
    source: str | Path, out: Path, *, max_length: int = DEFAULT_MAX_LENGTH, force: bool = False
) -> Tokenizer:
    """Write the tokenizer of ``source`` (see ``load_tokenizer``) as a new folder for texts of ``max_length`` tokens."""
    tokenizer = load_tokenizer(source)
    with new_folder(out, force=force) as folder:
        save_tokenizer(tokenizer, folder, max_length=max_length)
    return tokenizer


def _bert_tokenizer(model: WordPiece, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder()
    return tokenizer


def _complete(tokens: list[str], lowercase: bool) -> Tokenizer:
    """The tokenizer of a vocabulary in the order of ids, with the special tokens and the template around texts."""
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = _bert_tokenizer(WordPiece(vocab, unk_token="[UNK]"), lowercase)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _alphabet(texts: Iterable[str], tokenizer: Tokenizer) -> list[str]:
    """ASCII and the most frequent characters that cover the text, by code point."""
    counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)

    def count(gathered: list[str]) -> None:
        normalized = tokenizer.normalizer.normalize_str(" ".join(gathered))
        counts[:] += np.bincount(np.frombuffer(normalized.encode("utf-32-le"), dtype=np.uint32), minlength=len(counts))

    gathered: list[str] = []
    size = 0
    for text in texts:
        gathered.append(text)
        size += len(text)
        if size >= _COUNTED_AT_ONCE:
            count(gathered)
            gathered, size = [], 0
    count(gathered)
    counts[[number for number in np.flatnonzero(counts) if chr(number).isspace()]] = 0
    if not counts.any():
        raise UserError("the corpus holds no characters besides white space; check its files")
    order = np.argsort(-counts, kind="stable")
    covered = np.cumsum(counts[order]) / counts.sum()
    frequent = map(chr, order[: int(np.searchsorted(covered, _CHARACTER_COVERAGE)) + 1])
    # A corpus may lack punctuation that the texts to classify are full of.
    ascii_letters = tokenizer.normalizer.normalize_str("".join(map(chr, range(ord("!"), ord("~") + 1))))
    return sorted({*frequent, *ascii_letters})


def _load_json(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{path}: not a tokenizer that can be read ({error})") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _stored_lowercase(folder: Path) -> bool | None:
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return None
    value = json.loads(config.read_text(encoding="utf-8")).get("do_lower_case")
    return value if isinstance(value, bool) else None
