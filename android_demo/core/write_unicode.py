"""Write ``unicode.txt``: what the tokenizers library does to every character, read out of the library itself.

The app's tokenizer must agree with the Python one on every phone, whatever Unicode version the phone knows.
Run: ``python android_demo/core/write_unicode.py`` after tokenizers was updated in the lock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers
from tokenizers.normalizers import NFD, BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

TABLE = Path(__file__).parent / "src/main/resources/org/tlmedge/core/unicode.txt"
POINTS = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
HANGUL = range(0xAC00, 0xAC00 + 11172)
#: One mark of every canonical combining class but 0, ascending: where a character is sorted among them tells its own.
CLASSES = {
    1: 0x0334, 6: 0x16FF0, 7: 0x093C, 8: 0x3099, 9: 0x094D, 10: 0x05B0, 11: 0x05B1, 12: 0x05B2, 13: 0x05B3, 14: 0x05B4,
    15: 0x05B5, 16: 0x05B6, 17: 0x05B7, 18: 0x05B8, 19: 0x05B9, 20: 0x05BB, 21: 0x05BC, 22: 0x05BD, 23: 0x05BF,
    24: 0x05C1, 25: 0x05C2, 26: 0xFB1E, 27: 0x064B, 28: 0x064C, 29: 0x064D, 30: 0x064E, 31: 0x064F, 32: 0x0650,
    33: 0x0651, 34: 0x0652, 35: 0x0670, 36: 0x0711, 84: 0x0C55, 91: 0x0C56, 103: 0x0E38, 107: 0x0E48, 118: 0x0EB8,
    122: 0x0EC8, 129: 0x0F71, 130: 0x0F72, 132: 0x0F74, 202: 0x0321, 214: 0x1DCE, 216: 0x031B, 218: 0x302A,
    220: 0x0323, 222: 0x059A, 224: 0x302E, 226: 0x1D16D, 228: 0x05AE, 230: 0x0301, 232: 0x0315, 233: 0x035C,
    234: 0x0360, 240: 0x0345,
}  # fmt: skip


def table() -> str:
    """The content of ``unicode.txt``."""
    clean = BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    ideographs = BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    accents = BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    decompose, lower, split = NFD().normalize_str, Lowercase().normalize_str, BertPreTokenizer().pre_tokenize_str
    decomposed = {point: decompose(chr(point)) for point in POINTS}

    def pieces(character: str) -> list[str]:
        return [piece for piece, _ in split(f"a{character}b")]

    def is_accent(character: str) -> bool:
        return decomposed[ord(character)] == character and not accents.normalize_str(character)

    lines = [
        f"# What tokenizers {tokenizers.__version__} does to characters; written by write_unicode.py.",
        "dropped " + ranges(lambda character: clean.normalize_str(f"a{character}b") == "ab"),
        "whitespace " + ranges(lambda character: pieces(character) == ["a", "b"]),
        "punctuation " + ranges(lambda character: pieces(character) == ["a", character, "b"]),
        "ideographs " + ranges(lambda character: ideographs.normalize_str(character) == f" {character} "),
        "accents " + ranges(is_accent),
        "lowercase " + mapping((point, lower(chr(point))) for point in POINTS),
        "decomposition " + mapping((point, decomposed[point]) for point in POINTS if point not in HANGUL),
        "class " + " ".join(f"{point:x}={order:x}" for point, order in classes(decompose)),
    ]
    return "\n".join(lines) + "\n"


def classes(decompose: Callable[[str], str]) -> Iterable[tuple[int, int]]:
    """Characters with a combining class other than 0, and that class, by where NFD sorts them."""
    low, high = chr(CLASSES[1]), chr(CLASSES[240])
    # A mark that the library does not know yet is sorted like a letter and tells nothing.
    known = {order: mark for order, mark in CLASSES.items() if decompose(f"a{high}{chr(mark)}{low}")[1] != high}

    def swaps(first: str, second: str) -> bool:
        return first != second and decompose(f"a{first}{second}") == f"a{second}{first}"

    for point in POINTS:
        character = chr(point)
        if not swaps(high, character) and not swaps(character, low):
            continue
        below = {order for order, mark in known.items() if swaps(character, chr(mark))}
        above = {order for order, mark in known.items() if swaps(chr(mark), character)}
        (own,) = set(known) - below - above
        yield point, own


def ranges(holds: Callable[[str], bool]) -> str:
    """The characters that ``holds`` is true of, as hexadecimal ranges."""
    found: list[list[int]] = []
    for point in POINTS:
        if holds(chr(point)):
            if found and found[-1][1] == point - 1:
                found[-1][1] = point
            else:
                found.append([point, point])
    return " ".join(f"{first:x}-{last:x}" if last > first else f"{first:x}" for first, last in found)


def mapping(pairs: Iterable[tuple[int, str]]) -> str:
    """The characters that change, and to what."""
    changed = [(point, text) for point, text in pairs if text != chr(point)]
    return " ".join(f"{point:x}={','.join(f'{ord(part):x}' for part in text)}" for point, text in changed)


if __name__ == "__main__":
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table(), encoding="ascii")
    sys.stdout.write(f"{TABLE.name}: {TABLE.stat().st_size} bytes\n")
