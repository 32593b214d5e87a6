import json

import pytest

from tlm_edge.data.tokenizer import SPECIAL_TOKENS, convert_tokenizer, load_tokenizer, train_tokenizer, write_tokenizer
from tlm_edge.files import sha256_file
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import evaluation_texts

TEXT = 'The naïve CAFÉ, in 1998: "wagons" [MASK] rolled\x00 along Wellington’s 北京 streets 🙂!'


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return [str(evaluation_texts("agnews"))]


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "tokenizer"
    train_tokenizer(corpus, 1000, folder, max_length=64)
    return folder


def test_special_tokens_come_first_and_surround_texts(trained):
    tokenizer = load_tokenizer(trained)
    assert [tokenizer.id_to_token(i) for i in range(5)] == list(SPECIAL_TOKENS)
    assert tokenizer.get_vocab_size() == 1000
    encoding = tokenizer.encode("The markets, THE MARKETS")
    assert encoding.tokens[0] == "[CLS]"
    assert encoding.tokens[-1] == "[SEP]"
    half = (len(encoding.ids) - 3) // 2
    assert encoding.ids[1 : half + 1] == encoding.ids[half + 2 : -1]
    assert tokenizer.decode(encoding.ids) == "the markets, the markets"
    assert "[UNK]" not in tokenizer.encode("""!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ xyz 0123456789""").tokens


def test_training_is_repeatable(trained, corpus, tmp_path):
    train_tokenizer(corpus, 1000, tmp_path / "again", max_length=64)
    for file in trained.iterdir():
        assert sha256_file(file) == sha256_file(tmp_path / "again" / file.name)


def test_cased_tokenizers_tell_case(corpus, tmp_path):
    tokenizer = train_tokenizer(corpus, 1000, tmp_path / "cased", lowercase=False)
    assert tokenizer.encode("The").ids != tokenizer.encode("the").ids
    assert json.loads((tmp_path / "cased" / "tokenizer_config.json").read_text())["do_lower_case"] is False


def test_rare_characters_are_left_out(tmp_path):
    (tmp_path / "text.txt").write_text("common words in plenty\n" * 2000 + "ꙮ\n")
    tokenizer = train_tokenizer([str(tmp_path / "text.txt")], 400, tmp_path / "tokenizer")
    assert tokenizer.token_to_id("ꙮ") is None
    assert tokenizer.encode("common ꙮ", add_special_tokens=False).tokens == ["common", "[UNK]"]


def test_transformers_reads_the_folder_alike(trained):
    transformers = pytest.importorskip("transformers")
    ours = load_tokenizer(trained)
    fast = transformers.AutoTokenizer.from_pretrained(trained)
    assert fast.model_max_length == 64
    assert fast(TEXT)["input_ids"] == ours.encode(TEXT).ids
    slow = transformers.BertTokenizer.from_pretrained(trained)
    assert slow(TEXT)["input_ids"] == ours.encode(TEXT).ids
    assert (fast.pad_token_id, fast.unk_token_id, fast.cls_token_id, fast.sep_token_id, fast.mask_token_id) == (
        0,
        1,
        2,
        3,
        4,
    )


def test_the_original_vocabulary_is_read_as_transformers_does(shared_data, tmp_path):
    transformers = pytest.importorskip("transformers")
    vocabulary = shared_data / "vocab" / "bert-base-uncased-vocab.txt"
    ours = load_tokenizer(vocabulary)
    assert ours.encode("Hello, world!").ids == [101, 7592, 1010, 2088, 999, 102]
    convert_tokenizer(vocabulary, tmp_path / "bert", max_length=512)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")
    assert theirs.model_max_length == 512
    assert theirs(TEXT)["input_ids"] == ours.encode(TEXT).ids
    assert (tmp_path / "bert" / "vocab.txt").read_bytes() == vocabulary.read_bytes()


def test_a_folder_without_tokenizer_json_keeps_its_case(trained, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "vocab.txt").write_bytes((trained / "vocab.txt").read_bytes())
    assert load_tokenizer(folder).encode("The").ids == load_tokenizer(trained).encode("The").ids
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert "[UNK]" in load_tokenizer(folder).encode("The").tokens


def test_a_written_copy_is_complete(trained, tmp_path):
    write_tokenizer(trained, tmp_path / "copy")
    for file in trained.iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
    write_tokenizer(trained / "vocab.txt", tmp_path / "from_vocabulary")
    assert load_tokenizer(tmp_path / "from_vocabulary").encode(TEXT).ids == load_tokenizer(trained).encode(TEXT).ids


def test_nothing_is_overwritten_or_left_behind(corpus, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="mine exists already"):
        train_tokenizer(corpus, 1000, tmp_path / "mine")
    with pytest.raises(UserError, match=r"--vocab-size 20: the corpus' characters alone take \d+"):
        train_tokenizer(corpus, 20, tmp_path / "small")
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        train_tokenizer(["absent.txt"], 1000, tmp_path / "small")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    train_tokenizer(corpus, 1000, tmp_path / "mine", force=True)
    assert not (tmp_path / "mine" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n", r"vocab\.txt: not a BERT vocabulary, \[MASK\] missing"),
        (
            "vocab.txt",
            "\n".join([*SPECIAL_TOKENS, "the", "a", "the"]),
            r"vocab\.txt, line 8: 'the' is on line 6 already",
        ),
        ("tokenizer.json", '{"model": 3}', r"tokenizer\.json: not a tokenizer that can be read"),
    ],
)
def test_bad_tokenizers_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match="no tokenizer here"):
        load_tokenizer(tmp_path / "absent")
