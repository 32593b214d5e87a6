"""Pre-training speed against Hugging Face Trainer + BertForMaskedLM: same CPU, model, batch, precision, threads.

The two take turns in rounds; every round gives one ratio. Run it with

    python benchmarks/pretraining_speed.py --arch bert-1 --rounds 5

Both train the same architecture on the same packed blocks of 128 tokens (synthetic ids with a word-like frequency
law: the arithmetic does not depend on the text), in float32, with AdamW; ours is measured with its default
optimiser (Muon) as well.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from tlm_edge.modeling.config import EncoderConfig, architecture
from tlm_edge.modeling.heads import MaskedLanguageModel
from tlm_edge.training.packing import PackedBlocks
from tlm_edge.training.pretrain import PretrainRecipe, Progress, TokenIds, pretrain

from environment import describe_machine, interval, write_result  # isort: skip (beside this file)

VOCABULARY, LENGTH, SPECIAL = 8192, 128, 5


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    tokens = np.random.default_rng(0).zipf(1.2, 2_000_000) % (VOCABULARY - SPECIAL) + SPECIAL
    blocks = PackedBlocks(tokens.astype(np.uint16), np.arange(0, len(tokens) + 1, 1000), length=LENGTH, cls=2, sep=3)
    contestants = {
        "huggingface-trainer": lambda: huggingface(options, blocks),
        "tlm-edge-adamw": lambda: ours(options, blocks, "adamw"),
        "tlm-edge-muon": lambda: ours(options, blocks, "muon"),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(options.rounds):
        for name, run in contestants.items():
            speeds[name].append(run())
            print(f"round {number + 1}/{options.rounds}  {name:20s} {speeds[name][-1]:9.0f} tokens/s", flush=True)
    baseline = np.array(speeds["huggingface-trainer"])
    ratios = {name: interval(np.array(speeds[name]) / baseline) for name in contestants if name.startswith("tlm")}
    for name, ratio in ratios.items():
        print(f"{name} / huggingface-trainer: {ratio['median']:.2f} ({ratio['min']:.2f} … {ratio['max']:.2f})")
    write_result(
        f"pretraining_speed_{options.arch}_{options.precision}",
        {
            "what": "pre-training speed in tokens a second, and its ratio to Hugging Face Trainer round by round",
            "provenance": "measured",
            "settings": vars(options) | {"vocabulary": VOCABULARY, "length": LENGTH},
            "tokens_per_second": speeds,
            "ratio_to_huggingface_trainer": ratios,
            "machine": describe_machine(),
        },
    )


def ours(options: argparse.Namespace, blocks: PackedBlocks, optimizer: str) -> float:
    """Tokens a second of one run of ours, without its first steps."""
    torch.manual_seed(0)
    model = MaskedLanguageModel(_config(options))
    recipe = PretrainRecipe(
        max_steps=options.steps + options.warmup_steps,
        batch_size=options.batch_size,
        optimizer=optimizer,
        dropout=0.1,
        precision=options.precision,
    )
    ids = TokenIds(cls=2, sep=3, mask=4, special=tuple(range(SPECIAL)), vocab_size=VOCABULARY)
    marks: list[Progress] = []
    with tempfile.TemporaryDirectory() as folder:
        pretrain(model, blocks, ids, recipe, Path(folder), report=marks.append, report_every=1, validate_every=10**9)
    first, last = marks[options.warmup_steps - 1], marks[-1]
    return (last.tokens - first.tokens) / (last.seconds - first.seconds)


def huggingface(options: argparse.Namespace, blocks: PackedBlocks) -> float:
    """Tokens a second of Hugging Face's Trainer on the same blocks, without its first steps."""
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        DataCollatorForLanguageModeling,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    torch.manual_seed(0)
    config = _config(options)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=LENGTH,
        )
    )
    tokenizer = _tokenizer(PreTrainedTokenizerFast)
    steps = options.steps + options.warmup_steps
    rows = blocks.read(np.arange(steps * options.batch_size) % len(blocks))
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=options.batch_size,
                max_steps=steps,
                use_cpu=True,
                bf16=options.precision == "bf16",
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row.tolist()} for row in rows],
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
            callbacks=[Clock()],
        ).train()
    spent = times[-1] - times[options.warmup_steps - 1]
    return options.steps * options.batch_size * LENGTH / spent


def _config(options: argparse.Namespace) -> EncoderConfig:
    return architecture(options.arch, vocab_size=VOCABULARY, max_length=LENGTH)


def _tokenizer(fast_class: type) -> object:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {token: index for index, token in enumerate(special)}
    words |= {f"word{index}": index for index in range(SPECIAL, VOCABULARY)}
    return fast_class(
        tokenizer_object=Tokenizer(WordPiece(words, unk_token="[UNK]")),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="bert-1", choices=["bert-1", "bert-6"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="measured optimiser steps a round")
    parser.add_argument("--warmup-steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    main()
