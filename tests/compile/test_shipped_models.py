"""The exact rewrite on every shipped classifier, with its trained weights."""

import copy

import pytest
import torch

from tlm_edge.compile.graph import deployable
from tlm_edge.compile.rewrite import rewrite
from tlm_edge.export.source import load_source
from tlm_edge.export.texts import sequences_of_many_lengths, texts_for
from tlm_edge.modeling.checkpoint import is_checkpoint
from tlm_edge.modeling.committee import is_committee
from tlm_edge.modeling.config import read_config
from tlm_edge.runtime.tokenize import pad
from tlm_edge.shipped import models_folder, shipped_names


def is_classifier(name: str) -> bool:
    folder = models_folder() / name
    return is_committee(folder) or (is_checkpoint(folder) and bool(read_config(folder).labels))


CLASSIFIERS = [name for name in shipped_names() if is_classifier(name)]


@pytest.mark.skipif(not CLASSIFIERS, reason="no classifier is shipped yet")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_equal_the_original(name):
    source = load_source(models_folder() / name)
    sequences = sequences_of_many_lengths(source, texts_for(source.labels, None).texts)[::4]
    arrays = [torch.from_numpy(array) for array in pad(sequences, source.pad_token_id)]
    with torch.inference_mode():
        for member in source.members:
            for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
                model = copy.deepcopy(member).to(dtype)
                difference = model(*arrays) - rewrite(model, source.cls_token_id)(*arrays)
                assert difference.abs().max() < tolerance
        if source.is_committee:
            _, logits = deployable(source.members, source.cls_token_id)(*arrays)
            assert logits.shape == (len(sequences), len(source.members), len(source.labels))
