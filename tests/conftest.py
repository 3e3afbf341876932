"""Shared by all tests: thread settings, and small images with known structure."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads sleep, since many processes share few cores
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one worker per core; child processes inherit it

import pytest
import torch

from ssdie.utils import torchvision_ops  # noqa: F401  before any test imports torchvision

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)

LONGEST = [
    "networks/test_export.py", "workbook/test_browser.py", "test_wheel.py", "training/test_equalities.py",
    "training/test_faults.py", "training/test_stages.py", "utils/test_devices.py", "workbook/figures/test_files.py",
    "enhancement/test_fuzz.py", "batch/test_cluster.py", "training/test_checkpoint.py", "bench/test_bench.py",
    "workbook/test_runner.py",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first: a file stays on one xdist worker, and late long files leave other workers idle."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def picture(generator) -> torch.Tensor:
    """Two smooth colour images with some texture: (2, 3, 40, 56) in [0, 1]."""
    coarse = torch.rand(2, 3, 5, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(40, 56), mode="bicubic")
    return (smooth + 0.05 * torch.randn(2, 3, 40, 56, generator=generator)).clamp(0, 1)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory):
    """A small data set in the layout of the research data: 4 clear photos with depth and 3 dusty photos per split."""
    from ssdie.data.sample import list_sample, read_pair
    from ssdie.ops.depth_maps import write_depth
    from ssdie.ops.images import write_image
    from ssdie.synthesis.dust import add_dust

    root = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        for n, picture in enumerate(list_sample(split)[4:8]):  # drawn scenes
            clear, depth = read_pair(picture.name, (48, 64))
            write_image(root / "clear" / split / f"c{n}.png", clear)
            write_depth(root / "depth" / split / f"c{n}.png", depth)
            if n < 3:
                write_image(root / "dusty" / split / f"d{n}.PNG", add_dust(clear[None], depth[None], generator=n).dusty)
    return root
