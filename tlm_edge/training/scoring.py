"""What a classifier answers to encoded examples, and how good that is."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.modeling.ngrams import NgramClassifier
from tlm_edge.runtime.classifier import batches_by_length
from tlm_edge.training.examples import EncodedExamples
from tlm_edge.training.metrics import ClassificationMetrics, classification_metrics

#: Tokens of a batch, padding included.
_BATCH_TOKENS = 8192


def evaluate_examples(
    model: SequenceClassifier | NgramClassifier,
    examples: EncodedExamples,
    pad_token_id: int,
    accelerator: Accelerator | None = None,
) -> ClassificationMetrics:
    """Score ``model`` on ``examples``; several processes share the rows and all get the same answer."""
    probabilities = example_probabilities(model, examples, pad_token_id, accelerator)
    return classification_metrics(probabilities, examples.labels, model.config.labels)


@torch.no_grad()
def example_probabilities(
    model: SequenceClassifier | NgramClassifier,
    examples: EncodedExamples,
    pad_token_id: int,
    accelerator: Accelerator | None = None,
) -> NDArray[np.float32]:
    """Probabilities (rows, labels) in float32, without dropout, rows in the order of ``examples``."""
    rank, processes = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    probabilities = torch.zeros(len(examples), len(model.config.labels), device=device)
    for rows in batches_by_length(examples.lengths.tolist(), _BATCH_TOKENS)[rank::processes]:
        input_ids, attention_mask = examples.batch(np.array(rows), pad_token_id)
        logits = model(torch.from_numpy(input_ids).to(device), torch.from_numpy(attention_mask).to(device))
        probabilities[rows] = logits.float().softmax(dim=-1)
    model.train(was_training)
    if accelerator and processes > 1:
        probabilities = accelerator.reduce(probabilities, "sum")
    result: NDArray[np.float32] = probabilities.cpu().numpy()
    return result
