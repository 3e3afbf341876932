"""Fixtures of the explorers' tests."""

import pytest
import torch

from ssdie.data.sample import read_pair
from ssdie.networks.generators import build_generator
from ssdie.workbook.explorers import widgets as panels


@pytest.fixture(scope="module")
def scene():
    """A clear scene and its depth, 48 x 64 pixels."""
    return read_pair("scene_000001", (48, 64))


@pytest.fixture(scope="module")
def model():
    """A small generator with random weights."""
    torch.manual_seed(0)
    return build_generator("msff", width=8, head="scattering").eval()


@pytest.fixture(autouse=True)
def non_interactive(monkeypatch):
    """Start no threads that compute previews in the background."""
    monkeypatch.setenv(panels.STATIC, "1")
