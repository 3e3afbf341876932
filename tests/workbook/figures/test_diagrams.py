"""Diagrams show the blocks, sizes and weights of a network and its losses."""

import pytest
from figure_helpers import ramp, stay_inside, texts

from ssdie.losses import LossWeights
from ssdie.networks.generators import MSFF, UNetGenerator, count_parameters
from ssdie.workbook.figures.diagrams import draw_method, draw_network, read_shapes


@pytest.mark.parametrize("width, head", [(64, "tanh"), (16, "scattering")])
def test_network_diagram_reads_channels_from_the_network(width, head):
    network = MSFF(width=width, head=head)
    text = texts(draw_network(network))
    assert f"{count_parameters(network):,} parameters" in text
    for channels, side in (
        (width, 128),
        (2 * width, 64),
        (width // 4, 256),
        (3 if head == "tanh" else 6, 256),
    ):
        assert f"{channels} × {side}²" in text


def test_shapes_equal_those_of_a_forward_pass_and_the_network_is_unchanged():
    network = MSFF(width=8)
    shapes = read_shapes(network, 32)
    assert shapes["encode1.0"] == (8, 16) and shapes["attend12"] == (16, 8) and shapes[""] == (3, 32)
    assert network.training and not any(m._forward_hooks for m in network.modules())


@pytest.mark.parametrize("head", ["tanh", "scattering"])
def test_every_block_of_the_network_is_drawn_once(head):
    network = MSFF(width=8, head=head)
    drawn = [patch.get_gid() for patch in draw_network(network).axes[0].patches if patch.get_gid()]
    blocks = {name for name, _ in network.named_modules() if name.count(".") == 1 and "attend" not in name}
    assert sorted(drawn) == sorted(blocks | {"attend12", "attend23", "output"})


@pytest.fixture
def pictures():
    """Eight images for `draw_method`, the second with one channel."""
    return [ramp(24, 30, 1 if k == 1 else 3) for k in range(8)]


def test_method_diagram_shows_eight_images_and_every_term_with_its_weight(pictures):
    figure = draw_method(*pictures, MSFF(width=8), LossWeights())
    assert len(figure.findobj(lambda a: type(a).__name__ == "AxesImage")) == 8
    text = texts(figure)
    for term in ("100 × reconstruction", "perceptual", "style", "consistency", "adversarial", "0.1 × Retinex"):
        assert term in text
    assert "dark channel" in text and "gradient" not in text and "MSFF" in text
    stay_inside(figure)


def test_method_diagram_omits_terms_of_weight_0_and_names_another_generator(pictures):
    weights = LossWeights(retinex=0, style=0, gradient=10)
    text = texts(draw_method(*pictures, UNetGenerator(width=4, levels=2), weights))
    assert "UNet" in text and "10 × gradient" in text
    assert "× Retinex" not in text and "style" not in text


@pytest.mark.parametrize("options", [{}, {"head": "scattering"}, {"head": "scattering", "smooth": 2}])
def test_all_texts_lie_inside_the_diagram(options):
    stay_inside(draw_network(MSFF(width=8, **options)))
