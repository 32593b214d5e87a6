"""``tlm-edge tokenizer``."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli.options import CorpusOption, ForceOption, OutOption

app = typer.Typer(help="Train a tokenizer, or take an original BERT vocabulary.", no_args_is_help=True)

_MaxLengthOption = Annotated[
    int,
    typer.Option("--max-length", min=3, metavar="N", help="Tokens a text may have, written into the configuration."),
]


@app.command()
def train(
    corpus: CorpusOption,
    out: OutOption,
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", min=1, metavar="N", help="Tokens at most, the special ones included.")
    ] = 8192,
    cased: Annotated[bool, typer.Option("--cased", help="Keep upper case and accents apart from lower case.")] = False,
    max_length: _MaxLengthOption = 128,
    force: ForceOption = False,
) -> None:
    """Train a WordPiece tokenizer on text; the folder loads with AutoTokenizer too."""
    from tlm_edge.data.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(corpus, vocab_size, out, lowercase=not cased, max_length=max_length, force=force)
    print(f"{out}: {tokenizer.get_vocab_size():,} tokens, {'cased' if cased else 'lower-case'}")
    print(f"next: tlm-edge pretrain --arch bert-1 --tokenizer {out} --corpus … --out DIR")


@app.command()
def convert(
    vocabulary: Annotated[
        str, typer.Argument(metavar="VOCABULARY", help="A vocab.txt such as bert-base-uncased's, or a folder with one.")
    ],
    out: OutOption,
    max_length: _MaxLengthOption = 128,
    force: ForceOption = False,
) -> None:
    """Make a tokenizer folder of an original BERT vocabulary."""
    from tlm_edge.data.tokenizer import convert_tokenizer

    tokenizer = convert_tokenizer(vocabulary, out, max_length=max_length, force=force)
    print(f"{out}: {tokenizer.get_vocab_size():,} tokens")
    print(f"next: tlm-edge pretrain --arch bert-1 --tokenizer {out} --corpus … --out DIR")
