import itertools

import torch

from ssdie.training.augmentation import CORNERS, augment, augment_copies, find_homographies, sample_homographies


def test_augmentation_leaves_no_black_corner(generator):
    bright = torch.full((2, 3, 64, 64), 0.8)
    for _ in range(40):
        assert torch.allclose(augment(bright, generator), bright, atol=1e-5)


def test_image_and_depth_get_the_same_augmentation():
    scene = torch.rand(1, 1, 16, 16)
    picture = torch.nn.functional.interpolate(scene, size=(96, 96), mode="nearest")
    for seed in range(8):
        moved, depth = augment(picture.expand(1, 3, 96, 96), torch.Generator().manual_seed(seed), picture)
        assert not torch.allclose(moved[:, :1], picture, atol=0.02)
        assert (moved[:, :1] - depth).abs().mean() < 0.08


def test_copies_differ_and_are_reproducible(picture):
    first, again = (augment_copies(picture, 3, torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.shape == (6, 3, 40, 56) and torch.equal(first, again)
    assert not torch.allclose(first[:2], first[2:4], atol=0.01)


def test_augmentation_does_not_use_the_global_generator(picture, generator):
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    augment(picture, generator)
    assert torch.equal(torch.rand(3), expected)


def test_homographies_map_points_to_their_targets(generator):
    corners = torch.tensor(CORNERS).expand(4, 4, 2)
    targets = corners + 0.2 * torch.rand(4, 4, 2, generator=generator)
    homographies = find_homographies(corners, targets)
    mapped = torch.nn.functional.pad(corners, (0, 1), value=1.0) @ homographies.transpose(1, 2)
    assert torch.allclose(mapped[..., :2] / mapped[..., 2:], targets, atol=1e-5)


def test_augmentation_stays_within_the_bounds_of_the_method(generator):
    """Scale 1.4, rotation up to 5 degrees, translation up to a tenth of the side, flips."""
    homographies = sample_homographies(400, generator, aspect=1.5)
    middle = homographies[:, :, 2] / homographies[:, 2:, 2]
    assert 0.15 < middle[:, :2].abs().max() < 0.2 + 0.25  # a tenth of the side, 2, and the shift by the perspective
    mirrored = homographies[:, 0, 0] < 0
    assert 0.4 < mirrored.float().mean() < 0.6
    plain = homographies[(homographies[:, 2, :2].abs().sum(1) < 1e-6)]  # without perspective
    assert 0.4 < len(plain) / len(homographies) < 0.6
    area = torch.linalg.det(plain[:, :2, :2]).abs()
    assert torch.allclose(area, torch.full_like(area, 1 / 1.4**2), atol=1e-4)
    angle = torch.atan2(plain[:, 1, 0] / 1.5, plain[:, 0, 0].abs()).abs() * 180 / torch.pi  # in units of the height
    assert 4 < angle.max() < 5.01


def test_rotation_preserves_circles_in_wide_images():
    """A homography without perspective is a similarity in pixels, for any aspect ratio."""
    homographies = sample_homographies(50, torch.Generator().manual_seed(1), aspect=2.0)
    plain = homographies[homographies[:, 2, :2].abs().sum(1) < 1e-6][:, :2, :2]
    stretch = torch.diag(torch.tensor([2.0, 1.0]))
    pixels = stretch @ plain @ torch.linalg.inv(stretch)
    assert torch.allclose(pixels @ pixels.transpose(1, 2), torch.eye(2) / 1.4**2, atol=1e-5)


def test_each_image_and_copy_is_augmented_differently(picture):
    copies = augment_copies(picture[:1].repeat(2, 1, 1, 1), 2, torch.Generator().manual_seed(0))
    pairs = itertools.combinations(copies, 2)
    assert all((a - b).abs().mean() > 0.01 for a, b in pairs)
