"""The network that is released: the exponential moving average of the one that is trained."""

import itertools

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """A copy of a network, `module`, that follows it: a <- decay a + (1 - decay) p, buffers included.

    PyTorch's class sends its count to the device in each update, for which a GPU has to finish all that it has to do.
    Here the count stays where it is.

    Args:
        network: to follow; its values are the average after the first update.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__(network, use_buffers=True)
        self.follow = get_ema_multi_avg_fn(decay)

    def update_parameters(self, model: nn.Module) -> None:
        """Move towards the values of `model`, a network of the same kind on the same device."""
        mine, theirs = (
            [x.detach() for x in itertools.chain(network.parameters(), network.buffers())]
            for network in (self.module, model)
        )
        if self.n_averaged == 0:
            for averaged, value in zip(mine, theirs, strict=True):
                averaged.copy_(value)
        else:
            for floating in (True, False):
                pairs = [p for p in zip(mine, theirs, strict=True) if p[0].is_floating_point() == floating]
                if pairs:
                    self.follow(*map(list, zip(*pairs, strict=True)), 0)
        self.n_averaged += 1
