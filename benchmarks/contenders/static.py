"""A static embedding a token, their mean, and a classifier on it: the way of model2vec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contenders.contender import Rival
from contenders.rows import Rows

#: Where the embeddings come from, and at which length texts are cut.
ENCODER, MAX_LENGTH = "wiki-bert-1", 128
#: What a held-out tenth of the rows chooses from: how weakly the logistic regression is held back, …
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
#: … and of the fine-tuned form the size of the hidden layer, model2vec's own or none; rate and batch are model2vec's.
HIDDEN, RATE, BATCH = (512, None), 1e-3, 32
#: After how many passes without gain it stops, and after how many in any case.
PATIENCE, MOST_EPOCHS = 3, 40
CHOSEN_BY = "a held-out tenth of the training rows"


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
    features = (features - centre) / scale
    inner, outer = _parts(labels)

    def score(strength: float) -> float:
        model = LogisticRegression(C=strength, max_iter=300).fit(features[inner], labels[inner])
        return float(model.score(features[outer], labels[outer]))

    strength = max(STRENGTHS, key=score)
    model = LogisticRegression(C=strength, max_iter=300).fit(features, labels)
    weight = (model.coef_ / scale).astype(np.float32)
    bias = (model.intercept_ - weight @ centre).astype(np.float32)
    settings = {"classifier": "logistic regression", "C": strength, "C_chosen_from": STRENGTHS}
    return {"table": table, "weight": weight, "bias": bias}, settings | {
        "chosen_by": f"{CHOSEN_BY}, then refitted on all"
    }


def _parts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows to learn from and the tenth to choose by."""
    from sklearn.model_selection import train_test_split

    inner, outer = train_test_split(np.arange(len(labels)), test_size=0.1, random_state=0, stratify=labels)
    return inner, outer


def _tuned(
    table: np.ndarray, token_ids: list[np.ndarray], labels: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    _, arrays, settings = max(
        (_trained(table, token_ids, labels, hidden) for hidden in HIDDEN), key=lambda each: each[0]
    )
    settings |= {"hidden_chosen_from": HIDDEN, "optimizer": "Adam", "lr": RATE, "batch": BATCH, "seed": 0}
    return arrays, settings | {"chosen_by": CHOSEN_BY}


def _trained(
    table: np.ndarray, token_ids: list[np.ndarray], labels: np.ndarray, hidden: int | None
) -> tuple[float, dict[str, np.ndarray], dict[str, Any]]:
    """Of the pass with the highest accuracy on the held-out rows: that accuracy, the arrays and what it was."""
    import torch

    torch.manual_seed(0)
    inner, outer = _parts(labels)
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(table.copy()), freeze=False, mode="mean")
    width, answers = table.shape[1], int(labels.max()) + 1
    head = torch.nn.Sequential()
    if hidden:
        head.add_module("hidden", torch.nn.Linear(width, hidden))
        head.add_module("relu", torch.nn.ReLU())
    head.add_module("last", torch.nn.Linear(hidden or width, answers))
    model = torch.nn.ModuleDict({"table": bag, "head": head})
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    known = torch.from_numpy(labels)

    def logits(chosen: np.ndarray) -> torch.Tensor:
        lengths = [len(token_ids[row]) for row in chosen]
        offsets = torch.tensor([0, *np.cumsum(lengths)[:-1].tolist()])
        flat = torch.from_numpy(np.concatenate([token_ids[row] for row in chosen]).astype(np.int64))
        return torch.as_tensor(head(bag(flat, offsets)))

    best, best_epoch, kept = -1.0, 0, dict[str, np.ndarray]()
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
    names = {"table": "table.weight", "weight": "head.last.weight", "bias": "head.last.bias"}
    if hidden:
        names |= {"hidden": "head.hidden.weight", "hidden_bias": "head.hidden.bias"}
    classifier = f"a hidden layer of {hidden}, ReLU" if hidden else "a linear layer"
    settings = {"classifier": classifier, "epochs": best_epoch}
    return best, {name: kept[key] for name, key in names.items()}, settings


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


class Static(Rival):
    """The mean of the tokens' embeddings, a hidden layer if there is one, and a linear layer."""

    separates = True

    def __init__(self, folder: Path) -> None:
        self.arrays = dict(np.load(folder / "arrays.npz"))
        self.encoder = _Encoder(folder)

    def prepare(self, text: str) -> np.ndarray:
        return self.encoder.token_ids([text])[0]

    def answer(self, prepared: np.ndarray) -> int:
        return int(self._scores(self.arrays["table"][prepared].mean(axis=0)).argmax())

    def label(self, texts: Sequence[str]) -> np.ndarray:
        table = self.arrays["table"]
        means = np.stack([table[ids].mean(axis=0) for ids in self.encoder.token_ids(texts)])
        return self._scores(means).argmax(axis=1)

    def _scores(self, means: np.ndarray) -> np.ndarray:
        if "hidden" in self.arrays:
            means = np.maximum(means @ self.arrays["hidden"].T + self.arrays["hidden_bias"], 0.0)
        return np.asarray(means @ self.arrays["weight"].T + self.arrays["bias"])
