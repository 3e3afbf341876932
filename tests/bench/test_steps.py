"""The published step's own parts, that the fast ones are compared with."""

import torch

from ssdie.bench.steps import loop_dark_channel
from ssdie.ops.priors import block_dark_channel


def test_loops_give_the_dark_channel_and_its_gradient():
    for size in ((64, 64), (32, 48), (20, 37)):
        image = torch.rand(2, 3, *size, requires_grad=True)
        weight = torch.rand(2, 1, *size)
        gradients = []
        for function in (loop_dark_channel, block_dark_channel):
            dark = function(image)
            (gradient,) = torch.autograd.grad((dark * weight).sum(), image)
            gradients.append((dark, gradient))
        assert torch.equal(gradients[0][0], gradients[1][0])
        assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-5)
