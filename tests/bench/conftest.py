"""A profile short enough for tests."""

from __future__ import annotations

import pytest

from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench import protocol


@pytest.fixture
def test_profile(monkeypatch):
    """A profile named ``test`` that takes a second."""
    monkeypatch.setitem(protocol.PROFILES, "test", TEST_PROFILE)
    return TEST_PROFILE
