"""Helpers for tests of figures."""

import torch


def ramp(height: int, width: int, channels: int = 3) -> torch.Tensor:
    """Make an image whose values rise from 0 at the left to 1 at the right."""
    return torch.linspace(0, 1, width).expand(channels, height, width)


def texts(figure) -> str:
    """Join all texts of a figure."""
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def stay_inside(figure) -> None:
    """Assert that no artist reaches beyond the figure."""
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01, box
