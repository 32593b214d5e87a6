"""A static embedding a token, their mean, and a classifier on it: the way of model2vec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contenders.rows import Rows

#: Where the embeddings come from, and at which length texts are cut.
ENCODER, MAX_LENGTH = "wiki-bert-1", 128
#: Of the fine-tuned form: model2vec's own hidden size, rate and batch, and after how many passes without gain it stops.
HIDDEN, RATE, BATCH, PATIENCE, MOST_EPOCHS = 512, 1e-3, 32, 3, 20


def fit_static(rows: Rows, folder: Path, *, tuned: bool = False) -> dict[str, Any]:
    """wiki-bert-1's token embeddings with logistic regression on them, or all of it trained on the task."""
    import shutil

    from tlm_edge.modeling.checkpoint import load_masked_language_model
    from tlm_edge.shipped import resolve_model

    encoder = resolve_model(ENCODER)
    table = load_masked_language_model(encoder).encoder.embeddings.word.weight.detach().numpy()
    shutil.copy(encoder / "tokenizer.json", folder)
    token_ids = [np.array(ids) for ids in _Encoder(folder).token_ids(rows.texts)]
    arrays, settings = (_tuned if tuned else _frozen)(table, token_ids, rows.labels)
    np.savez(folder / "arrays.npz", **arrays)
    return {"library": "tokenizers, NumPy", "embeddings": ENCODER, "max_length": MAX_LENGTH} | settings


def _frozen(
    table: np.ndarray, token_ids: list[np.ndarray], labels: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression

    features = np.stack([table[ids].mean(axis=0) for ids in token_ids])
    centre, scale = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=1.0, max_iter=300).fit((features - centre) / scale, labels)
    weight = (model.coef_ / scale).astype(np.float32)
    bias = (model.intercept_ - weight @ centre).astype(np.float32)
    return {"table": table, "weight": weight, "bias": bias}, {"classifier": "logistic regression", "C": 1.0}


def _tuned(
    table: np.ndarray, token_ids: list[np.ndarray], labels: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import torch
    from sklearn.model_selection import train_test_split

    torch.manual_seed(0)
    inner, outer = train_test_split(np.arange(len(labels)), test_size=0.1, random_state=0, stratify=labels)
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(table.copy()), freeze=False, mode="mean")
    hidden, last = torch.nn.Linear(table.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, int(labels.max()) + 1)
    model = torch.nn.Sequential(bag, hidden, torch.nn.ReLU(), last)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    known = torch.from_numpy(labels)

    def logits(chosen: np.ndarray) -> torch.Tensor:
        lengths = [len(token_ids[row]) for row in chosen]
        offsets = torch.tensor([0, *np.cumsum(lengths)[:-1].tolist()])
        flat = torch.from_numpy(np.concatenate([token_ids[row] for row in chosen]).astype(np.int64))
        return model[3](model[2](model[1](bag(flat, offsets))))

    best, best_epoch, kept = -1.0, 0, {}
    for epoch in range(1, MOST_EPOCHS + 1):
        order = inner[torch.randperm(len(inner)).numpy()]
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits(chosen), known[chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            score = float((logits(outer).argmax(1) == known[outer]).float().mean())
        if score > best:
            best, best_epoch = score, epoch
            kept = {name: value.clone().numpy() for name, value in model.state_dict().items()}
        elif epoch - best_epoch >= PATIENCE:
            break
    names = {"table": "0.weight", "hidden": "1.weight", "hidden_bias": "1.bias", "weight": "3.weight", "bias": "3.bias"}
    settings = {"classifier": f"a hidden layer of {HIDDEN}, ReLU", "optimizer": "Adam", "lr": RATE, "batch": BATCH}
    settings |= {"epochs": best_epoch, "epochs_chosen_by": "a held-out tenth of the training rows", "seed": 0}
    return {name: kept[key] for name, key in names.items()}, settings


class _Encoder:
    """Token ids without [CLS] and [SEP]; a text without a token gives the unknown one."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_LENGTH - 2)
        self.nothing = [self.tokenizer.token_to_id("[UNK]")]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids or self.nothing for encoding in found]


class Static:
    """The mean of the tokens' embeddings, a hidden layer if there is one, and a linear layer."""

    separates = True

    def __init__(self, folder: Path) -> None:
        self.arrays = dict(np.load(folder / "arrays.npz"))
        self.encoder = _Encoder(folder)

    def prepare(self, text: str) -> list[int]:
        return self.encoder.token_ids([text])[0]

    def answer(self, prepared: list[int]) -> int:
        return int(self._scores(self.arrays["table"][prepared].mean(axis=0)).argmax())

    def label(self, texts: Sequence[str]) -> np.ndarray:
        table = self.arrays["table"]
        means = np.stack([table[ids].mean(axis=0) for ids in self.encoder.token_ids(texts)])
        return self._scores(means).argmax(axis=1)

    def _scores(self, means: np.ndarray) -> np.ndarray:
        if "hidden" in self.arrays:
            means = np.maximum(means @ self.arrays["hidden"].T + self.arrays["hidden_bias"], 0.0)
        return np.asarray(means @ self.arrays["weight"].T + self.arrays["bias"])
