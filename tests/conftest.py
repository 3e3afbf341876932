"""What tests share: quiet threads, and pictures with known structure."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # many processes on few cores: who waits does not spin

import pytest
import torch

from ssdie.utils import torchvision_ops  # noqa: F401  before any test imports torchvision

torch.set_num_threads(2)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def picture(generator) -> torch.Tensor:
    """A smooth colourful picture with some texture: (2, 3, 40, 56) in [0, 1]."""
    coarse = torch.rand(2, 3, 5, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(40, 56), mode="bicubic")
    return (smooth + 0.05 * torch.randn(2, 3, 40, 56, generator=generator)).clamp(0, 1)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory):
    """A tiny data set in the layout of the research data: 4 clear photos with depth and 3 dusty ones a split."""
    from ssdie.data.sample import render_scene
    from ssdie.ops.depth_maps import write_depth
    from ssdie.ops.images import write_image
    from ssdie.synthesis.dust import add_dust

    root = tmp_path_factory.mktemp("data")
    for split, first in (("train", 0), ("val", 50)):
        for n in range(4):
            clear, depth = render_scene(first + n, (48, 64))
            write_image(root / "clear" / split / f"c{n}.png", clear)
            write_depth(root / "depth" / split / f"c{n}.png", depth)
            if n < 3:
                write_image(root / "dusty" / split / f"d{n}.PNG", add_dust(clear[None], depth[None], generator=n).dusty)
    return root
