import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from tests.compile.strategies import CLS, MARKERS, VOCABULARY, cases, random_classifier
from tlm_edge.compile.graph import AsWritten, deployable, rewrite_kind
from tlm_edge.compile.rewrite import FIXED_QUERY, ROW_QUERY, rewrite
from tlm_edge.modeling.config import Convolution, EncoderConfig

torch.set_num_threads(1)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_logits_equal_the_original(case):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = copy.deepcopy(case.model).to(dtype)
        with torch.no_grad():
            expected = model(case.input_ids, case.attention_mask)
            rewritten = rewrite(model, CLS)(case.input_ids, case.attention_mask)
        assert rewritten.dtype == dtype
        torch.testing.assert_close(rewritten, expected, rtol=0, atol=tolerance)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_as_written_computes_the_same(case):
    with torch.no_grad():
        expected = case.model.double()(case.input_ids, case.attention_mask)
        written = AsWritten(case.model)(case.input_ids, case.attention_mask)
    torch.testing.assert_close(written, expected, rtol=0, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(cases())
def test_a_committee_votes_as_its_members_do(case):
    members = [case.model.double(), random_classifier(case.config).double()]
    with torch.no_grad():
        logits = torch.stack([member(case.input_ids, case.attention_mask) for member in members], dim=1)
        voted = deployable(members, CLS)(case.input_ids, case.attention_mask)
    torch.testing.assert_close(voted, (logits.softmax(dim=-1).mean(dim=1), logits), rtol=0, atol=1e-10)


def test_at_the_size_of_the_shipped_models():
    torch.manual_seed(0)
    for layers in (1, 6):
        config = EncoderConfig(vocab_size=1000, num_hidden_layers=layers, labels=("a", "b", "c", "d"))
        model = random_classifier(config)
        input_ids = torch.randint(5, 1000, (3, 128))
        input_ids[:, 0] = CLS
        attention_mask = torch.ones_like(input_ids)
        attention_mask[1, 1:] = 0
        attention_mask[2, 77:] = 0
        with torch.no_grad():
            difference = model.double()(input_ids, attention_mask) - rewrite(model, CLS)(input_ids, attention_mask)
        assert difference.abs().max() < 1e-10


def test_the_padding_does_not_matter():
    torch.manual_seed(0)
    graph = rewrite(random_classifier(EncoderConfig(vocab_size=VOCABULARY, hidden_size=32, labels=("a", "b"))), CLS)
    input_ids = torch.tensor([[CLS, 7, 8, 9]])
    padded = torch.tensor([[CLS, 7, 8, 9, 11, 12]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        alone, beside = graph(input_ids, torch.ones_like(input_ids)), graph(padded, mask)
    torch.testing.assert_close(alone, beside, rtol=0, atol=1e-6)


def test_the_query_is_fixed_only_where_the_row_is():
    config = EncoderConfig(vocab_size=VOCABULARY, hidden_size=16, labels=("a", "b"))
    kinds = {
        FIXED_QUERY: [config],
        ROW_QUERY: [
            replace(config, num_hidden_layers=2),
            replace(config, markers=MARKERS),
            replace(config, convolution=Convolution(1, (3, 3), 2)),
        ],
    }
    for kind, configs in kinds.items():
        for each in configs:
            assert rewrite_kind(deployable([random_classifier(each)], CLS)) == kind
    assert rewrite_kind(deployable([random_classifier(config)], CLS, rewritten=False)) == "none"


class ShiftedEmbeddings(torch.nn.Module):
    """A front of another kind: every row also sees its left neighbour."""

    def __init__(self, embeddings):
        super().__init__()
        self.inner = embeddings

    def forward(self, input_ids):
        hidden = self.inner(input_ids)
        return hidden + torch.nn.functional.pad(hidden, (0, 0, 1, 0))[:, :-1]


def test_other_embeddings_are_taken_as_they_are():
    torch.manual_seed(0)
    model = random_classifier(EncoderConfig(vocab_size=VOCABULARY, hidden_size=32, labels=("a", "b"))).double()
    model.encoder.embeddings = ShiftedEmbeddings(model.encoder.embeddings)
    input_ids = torch.tensor([[CLS, 7, 8, 9], [CLS, 9, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    graph = rewrite(model, CLS)
    assert graph.kind == ROW_QUERY
    with torch.no_grad():
        torch.testing.assert_close(graph(input_ids, mask), model(input_ids, mask), rtol=0, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_model_itself_is_left_alone(layers):
    model = random_classifier(EncoderConfig(vocab_size=VOCABULARY, num_hidden_layers=layers, labels=("a", "b")))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rewrite(model, CLS)
    for name, tensor in model.state_dict().items():
        assert torch.equal(before[name], tensor)
