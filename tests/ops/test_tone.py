import torch

from ssdie.ops import tone


def test_balancing_leaves_grey_alone_and_takes_half_of_a_cast(picture):
    grey = picture.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(tone.balance_veil(grey), grey, atol=1e-5)
    veil = torch.tensor([0.8, 0.7, 0.6]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
    spread = [torch.log(p.amax() / p.amin()).item() for p in (veil, tone.balance_veil(veil))]
    assert abs(spread[1] - spread[0] / 2) < 1e-3
    assert torch.equal(tone.balance_veil(veil.flip(1)), veil.flip(1))  # blue: a sky, not dust


def test_levels_fill_the_range_and_bounded_gain_keeps_the_middle(picture):
    dull = 0.4 + 0.2 * picture
    stretched = tone.stretch_levels(dull, clipped=0.0, most=100.0)
    assert torch.allclose(stretched.amin((1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(stretched.amax((1, 2, 3)), torch.ones(2), atol=1e-5)
    bounded = tone.stretch_levels(dull, clipped=0.0, most=1.5)
    deviation, wanted = (p - p.mean((1, 2, 3), keepdim=True) for p in (bounded, 1.5 * dull))
    assert torch.allclose(deviation, wanted, atol=1e-4)


def test_levels_clip_no_more_than_they_are_allowed(generator):
    stretched = tone.stretch_levels(0.3 + 0.4 * torch.rand(2, 3, 40, 56, generator=generator), clipped=0.01, most=10.0)
    dark, bright = (stretched.amin(1) <= 0).float().mean(), (stretched.amax(1) >= 1).float().mean()
    assert dark <= 0.013 and bright <= 0.013


def test_finish_of_grey_stays_grey(picture):
    grey = picture.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    finished = tone.finish(grey)
    assert torch.allclose(finished[:, 0], finished[:, 2], atol=1e-5) and finished.min() >= 0 and finished.max() <= 1
