import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm_edge.data.lines import MAX_LINE_BYTES, read_lines, read_text
from tlm_edge.runtime.errors import UserError

# What a line may hold: any character that UTF-8 can write, line ends and NUL aside.
line_text = st.text(st.characters(codec="utf-8", exclude_characters="\n\0\ufeff"), max_size=40)


@given(lines=st.lists(line_text, max_size=6), packed=st.booleans(), mark=st.booleans(), ended=st.booleans())
def test_lines_come_back_as_written(tmp_path_factory, lines, packed, mark, ended):
    content = "\n".join(lines) + ("\n" if ended else "")
    raw = ("\ufeff" if mark else "").encode() + content.encode()
    file = tmp_path_factory.mktemp("lines") / ("text.txt.gz" if packed else "text.txt")
    file.write_bytes(gzip.compress(raw) if packed else raw)
    read = list(read_lines(file))
    assert "".join(line for _, line in read) == content == read_text(file)
    assert [number for number, _ in read] == list(range(1, len(read) + 1))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"fine\nalso fine\nbad \xe9t\xe9\n", "line 3: the byte 0xe9 is not UTF-8"),
        (b"fine\nno\0t\n", "line 2: a NUL byte"),
        ("utf-16".encode("utf-16"), "line 1: a NUL byte"),
        (b"fine\n" + b"x" * 10_000_000 + b"\n", "line 2: longer than 8 MiB"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_bad_lines_are_named(tmp_path, raw, message, packed):
    file = tmp_path / "bad.txt"
    file.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(UserError, match=rf"bad\.txt, {message}"):
        list(read_lines(file))
    if len(raw) < MAX_LINE_BYTES:
        with pytest.raises(UserError, match=rf"bad\.txt, {message}"):
            read_text(file)


def test_damaged_gzip_files_are_named(tmp_path):
    packed = gzip.compress(b"".join(b"line %d\n" % i for i in range(5000)))
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=r"cut\.jsonl\.gz, line \d+: the gzip file ends too early"):
        list(read_lines(file))
    file.write_bytes(packed[:200] + bytes(40) + packed[240:])
    with pytest.raises(UserError, match=r"the gzip file is damaged"):
        list(read_lines(file))
    file.write_bytes(b"plain text\n")
    with pytest.raises(UserError, match=r"named \.gz but not gzip'd"):
        list(read_lines(file))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt: can't be read \(No such file"):
        list(read_lines(tmp_path / "absent.txt"))


def test_bytes_read_add_up_to_the_file(tmp_path):
    file = tmp_path / "text.txt.gz"
    file.write_bytes(gzip.compress(b"".join(b"line %d\n" % i for i in range(1000))))
    read: list[int] = []
    assert len(list(read_lines(file, on_read=read.append))) == 1000
    assert sum(read) == file.stat().st_size
