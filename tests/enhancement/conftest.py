"""A synthetic dusty photo, shared by the tests of single photos."""

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture(scope="session")
def photo():
    """A dusty picture with edges, ramps and grain: (3, 120, 180) in [0.1, 0.8]."""
    random = torch.Generator().manual_seed(1)
    coarse = F.interpolate(torch.rand(1, 3, 5, 7, generator=random), size=(120, 180), mode="bicubic")[0].clamp(0, 1)
    edges = (torch.rand(1, 6, 9, generator=random) > 0.5).float().repeat_interleave(20, 1).repeat_interleave(20, 2)
    grain = 0.02 * torch.randn(3, 120, 180, generator=random)
    tint = torch.tensor([0.8, 0.65, 0.45]).view(3, 1, 1)
    return ((0.6 * coarse + 0.3 * edges + grain) * tint + 0.1).clamp(0, 1)
