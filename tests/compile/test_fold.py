import copy

import torch
from hypothesis import given, settings

from tests.compile.strategies import CLS, VOCABULARY, cases, random_classifier
from tlm_edge.compile.fold import fold_norms
from tlm_edge.compile.graph import AsWritten, deployable
from tlm_edge.compile.rewrite import rewrite
from tlm_edge.modeling.config import EncoderConfig

torch.set_num_threads(1)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_logits_equal_the_original(case):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = copy.deepcopy(case.model).to(dtype)
        with torch.no_grad():
            expected = model(case.input_ids, case.attention_mask)
            folded = fold_norms(rewrite(model, CLS))(case.input_ids, case.attention_mask)
        assert folded.dtype == dtype
        torch.testing.assert_close(folded, expected, rtol=0, atol=tolerance)


def config(**changes) -> EncoderConfig:
    return EncoderConfig(vocab_size=VOCABULARY, hidden_size=32, num_attention_heads=4, labels=("a", "b"), **changes)


def test_no_norm_is_left_and_the_model_is_left_alone():
    for layers in (1, 3):
        torch.manual_seed(layers)
        graph = rewrite(random_classifier(config(num_hidden_layers=layers)), CLS)
        before = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
        folded = fold_norms(graph)
        assert not any(isinstance(module, torch.nn.LayerNorm) for module in folded.modules())
        assert all(torch.equal(before[name], tensor) for name, tensor in graph.state_dict().items())


def test_a_committee_votes_as_before_and_stores_equal_members_once():
    torch.manual_seed(0)
    members = [random_classifier(config()) for _ in range(2)]
    members.append(copy.deepcopy(members[0]))
    graph = deployable(members, CLS)
    folded = fold_norms(graph)
    input_ids = torch.tensor([[CLS, 7, 8, 9], [CLS, 9, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(folded(input_ids, mask), graph(input_ids, mask), rtol=0, atol=1e-5)
    one, two, again = (set(map(id, member.parameters())) for member in folded.members)
    assert one == again
    assert not one & two


def test_what_is_exported_as_written_stays_so():
    graph = deployable([random_classifier(config())], CLS, rewritten=False)
    assert isinstance(fold_norms(graph), AsWritten)
    assert any(isinstance(module, torch.nn.LayerNorm) for module in fold_norms(graph).modules())
