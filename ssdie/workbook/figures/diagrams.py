"""Diagrams of the training method and of the generator; channels and sizes are read from the network itself."""

import copy

import torch
from matplotlib.figure import Figure
from torch import nn

from ssdie.losses import LossWeights
from ssdie.networks.generators import MSFF, count_parameters
from ssdie.networks.layers import ContextPyramid
from ssdie.workbook.figures.drawing import (
    ADVERSARY,
    LOSS,
    NETWORK,
    PLAIN,
    Box,
    draw_arrow,
    draw_box,
    draw_picture,
    make_canvas,
)
from ssdie.workbook.figures.grids import FAINT, INK, PAGE, Picture, styled


@styled
def draw_method(
    clear: Picture,
    depth: Picture,
    synthetic: Picture,
    restored: Picture,
    real: Picture,
    copy_: Picture,
    enhanced: Picture,
    pseudo_label: Picture,
    network: nn.Module,
    weights: LossWeights,
) -> Figure:
    """Draw the training of SSDIE-Net: a supervised branch on synthetic pairs, an unsupervised one on real photos.

    Args:
        clear, depth, synthetic: a scene (3, H, W), its depth (1, H, W), and the scene with synthetic dust (3, H, W).
        restored: output of the generator for `synthetic`.
        real, copy_, pseudo_label: a dusty photo, an augmented copy of it, and its pseudo-label.
        enhanced: output of the generator for `copy_`.
        network: the generator; its class gives the name in the diagram.
        weights: weights of the loss terms; terms of weight 0 are left out.
    """
    figure, axes = make_canvas(PAGE, 4.15)
    wide, high, first, second, third = 0.88, 0.62, 3.02, 1.58, 0.62
    axes.text(0.02, 4.12, "Supervised branch · synthetic pairs", fontsize=8.5, weight="bold", va="top")
    axes.text(0.02, 2.55, "Unsupervised branch · real photos", fontsize=8.5, weight="bold", va="top")

    scene = draw_picture(axes, Box(0.02, first, wide, high), clear, "clear $J$")
    distance = draw_picture(axes, Box(0.98, first, wide, high), depth, "depth $d$")
    law = "dust synthesis\n$I = J\\,t + A\\,(1-t)$\n$t = e^{-\\beta d}$"
    dust = draw_box(axes, Box(2.04, first, 0.94, high), law, size=6.4)
    dusty = draw_picture(axes, Box(3.16, first, wide, high), synthetic, "dusty $I$")
    photo = draw_picture(axes, Box(0.02, second, wide, high), real, "real dusty $x$")
    many = "$K$ noisy copies: $x + n_k$\n$K$ augmented copies: $y_k$"
    copies = draw_box(axes, Box(1.16, second, 1.82, high), many, size=6.4)
    sample = draw_picture(axes, Box(3.16, second, wide, high), copy_, "a copy $y_k$")
    label = draw_picture(axes, Box(3.16, third, wide, high), pseudo_label, "pseudo-label $R(x)$")

    short = type(network).__name__.removesuffix("Generator")
    trained = Box(4.17, second, 0.52, first + high - second)
    draw_box(axes, trained, f"$G$\n\ngenerator\n{short}\n\none set\nof\nweights", NETWORK, 6.6)
    output = draw_picture(axes, Box(4.82, first, wide, high), restored, "$G(I)$")
    result = draw_picture(axes, Box(4.82, second, wide, high), enhanced, "$G(y_k)$")
    terms = [_weigh(weights, name) for name in ("reconstruction", "perceptual", "style", "gradient")]
    parts = "\n".join(["$L_{sup}$, target $J$", *filter(None, terms)])
    supervised = draw_box(axes, Box(5.9, first - 0.06, 1.28, high + 0.12), parts, LOSS, 6.6)
    unsupervised = {
        "consistency": (LOSS, "$|G(x) - G(x + n_k)|$"),
        "adversarial": (ADVERSARY, "$D(G(y_k)) \\rightarrow$ clear"),
        "dark_channel": (ADVERSARY, "dc-Net(dark $G(y_k)$) $\\rightarrow$ clear"),
        "retinex": (LOSS, "$|G(x) - R(x)|$"),
    }
    boxes = {name: Box(5.9, 2.06 - 0.395 * k, 1.28, 0.33) for k, name in enumerate(unsupervised)}
    boxes = {name: box for name, box in boxes.items() if getattr(weights, name)}
    for name, box in boxes.items():
        colors, text = unsupervised[name]
        draw_box(axes, box, f"{_weigh(weights, name)}\n{text}", colors, 6.2)
    axes.text(6.54, 2.47, "$L_{unsup}$", ha="center", va="center", fontsize=7.5)

    axes.text(0.94, first + high / 2, "+", ha="center", va="center", fontsize=8)
    for start, end in ((distance, dust), (dust, dusty), (photo, copies), (copies, sample)):
        draw_arrow(axes, (start.at(1), end.at(0)))
    for start, end in ((dusty, output), (sample, result)):
        level = start.at(1)[1]
        draw_arrow(axes, (start.at(1), (trained.x, level)))
        draw_arrow(axes, ((trained.x + trained.width, level), end.at(0)))
    over = 3.8
    corners = (scene.at(0.5)[0], over), (supervised.at(0.5)[0], over)
    draw_arrow(axes, (scene.at(0.5, 1), *corners, supervised.at(0.5, 1)), FAINT)
    draw_arrow(axes, (output.at(1), supervised.at(0)))
    rail = 5.8
    axes.plot((result.at(1)[0], rail), (result.at(1)[1],) * 2, color=INK, lw=0.9)
    for box in boxes.values():
        draw_arrow(axes, ((rail, result.at(1)[1]), (rail, box.at(0)[1]), box.at(0)))
    draw_arrow(axes, ((0.1, second - 0.2), (0.1, label.at(0)[1]), label.at(0)), FAINT)
    if "retinex" in boxes:
        draw_arrow(axes, (label.at(1), (5.9, label.at(1)[1])), FAINT)

    stages = (
        "Stage 1\n$G$ on synthetic pairs",
        "Stage 2\ndc-Net: dark channels, clear or dusty",
        "Stage 3\nboth branches; $D$ and $G$ alternate",
    )
    for k, text in enumerate(stages):
        draw_box(axes, Box(0.02 + 2.42 * k, 0.03, 2.32, 0.33), text, PLAIN, 6.4)
    return figure


def _weigh(weights: LossWeights, term: str) -> str:
    """Label of a loss term: its weight if that is not 1, and its name; "" for a term of weight 0."""
    weight = getattr(weights, term)
    name = {"retinex": "Retinex"}.get(term, term.replace("_", " "))
    return (name if weight == 1 else f"{weight:g} × {name}") if weight else ""


# The network ------------------------------------------------------------------------------------------------


def read_shapes(network: nn.Module, size: int = 256) -> dict[str, tuple[int, int]]:
    """Find the output shape of every module for a square image.

    Args:
        network: takes (N, 3, H, W); it is copied and not changed.
        size: H and W, pixels.

    Returns:
        (channels, height) by name of the module; the name "" is the whole network.

    Example:
        >>> read_shapes(MSFF(), 256)["encode1.1"]
        (128, 64)
    """
    shapes: dict[str, tuple[int, int]] = {}
    network = copy.deepcopy(network).to("meta").eval()  # shapes are computed without values

    def record(name: str, output: torch.Tensor) -> None:
        shapes[name] = (output.shape[1], output.shape[2])

    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: record(name, output))
    network(torch.empty(1, 3, size, size, device="meta"))
    return shapes


@styled
def draw_network(network: MSFF, size: int = 256) -> Figure:
    """Draw MSFF: three encoders, two cross-attentions, three decoders; every block with channels and side.

    Args:
        network: network to draw.
        size: side of the square input, pixels.
    """
    shapes = read_shapes(network, size)
    figure, axes = make_canvas(PAGE, 3.55)
    rows = (2.45, 1.5, 0.55)  # scales: full, half, quarter
    wide, high = 0.74, 0.44

    def block(x: float, y: float, name: str, title: str, colors: tuple[str, str], width: float = wide) -> Box:
        channels, side = shapes[name]
        return draw_box(axes, Box(x, y, width, high), f"{title}\n{channels} × {side}²", colors, 6.2, name)

    def note(x: float, y: float, text: str, color: str = FAINT, ha: str = "left") -> None:
        axes.text(x, y, text, fontsize=6, color=color, va="center", ha=ha)

    inputs, encoders = [], []
    for k, y in enumerate(rows):
        names = ("$x$", "$x/2$", "$x/4$")
        inputs.append(draw_box(axes, Box(0.04, y, 0.52, high), f"{names[k]}\n3 × {size >> k}²", PLAIN, 6.4))
        parts = getattr(network, f"encode{k + 1}")
        titles = [_name_convolution(part) for part in parts]
        line = [block(0.78 + 0.88 * n, y, f"encode{k + 1}.{n}", title, NETWORK) for n, title in enumerate(titles)]
        encoders.append(line)
        draw_arrow(axes, (inputs[k].at(1), line[0].at(0)))
        draw_arrow(axes, (line[0].at(1), line[1].at(0)))
    for above, below in ((0, 1), (1, 2)):
        draw_arrow(axes, (inputs[above].at(0.5, 0), inputs[below].at(0.5, 1)))
        note(0.34, (rows[above] + rows[below] + high) / 2, "mean 2×2")

    (_, e1), (_, e2), (skip, e3) = encoders
    a12, a23 = (block(2.88, rows[k], f"attend{k}{k + 1}", "cross-attention", LOSS, 0.84) for k in (1, 2))
    if isinstance(network.context, ContextPyramid):
        note(2.88, rows[2] - 0.1, "then context pyramid")
    d1, d2, d3 = (
        [
            block(3.9 + 0.88 * n, rows[k - 1], f"decode{k}.{n}", _name_convolution(part), ADVERSARY)
            for n, part in enumerate(parts)
        ]
        for k, parts in ((1, network.decode1), (2, network.decode2), (3, network.decode3))
    )
    for fine, coarse, box in ((e1, e2, a12), (e2, e3, a23)):
        draw_arrow(axes, (coarse.at(1, 0.3), box.at(0, 0.3)))
        corner = 3.06 if fine is e1 else 2.64
        bend = box.y + high + 0.2
        start = (corner, fine.at(1)[1] if fine is e1 else fine.at(1, 0.3)[1])
        draw_arrow(axes, (start, (corner, bend), (3.06, bend), (3.06, box.y + high)), LOSS[1])
        note(3.1, bend - 0.1, "query", "#a86a00")
        note(2.42, box.at(0, 0.3)[1] + 0.09, "key, value")
    for start, line in ((e1, d1), (a12, d2), (a23, d3)):
        draw_arrow(axes, (start.at(1), line[0].at(0)))
        draw_arrow(axes, (line[0].at(1), line[1].at(0)))
    for below, above in ((d3, d2), (d2, d1)):
        draw_arrow(axes, (below[1].at(0.5, 1), above[1].at(0.5, 0)))
        note(below[1].at(0.5)[0] + 0.05, below[1].y + high + 0.26, "cat")
    under, over = 0.3, 3.16
    draw_arrow(axes, (skip.at(0.5, 0), (skip.at()[0], under), (d3[1].at()[0], under), d3[1].at(0.5, 0)), FAINT)
    note(d3[1].at()[0] - 0.06, under + 0.09, "skip, cat", ha="right")

    places = ((5.78, 0), (6.52, 0), (6.52, 1), (5.78, 1))
    names = ("final.0", "final.1", "final.2", "output")
    last = [
        block(x, rows[row], name, _name_convolution(network.get_submodule(name)), ADVERSARY, 0.66)
        for (x, row), name in zip(places, names, strict=True)
    ]
    head = {"tanh": "tanh", "scattering": "$e^{k}\\,(x - v)$"}[network.head]
    head = f"guided filter; {head}" if network.smooth else head
    draw_box(axes, Box(5.78, rows[2], 1.4, high), f"{head}\nenhanced 3 × {size}²", PLAIN, 6.4)
    corners = (inputs[0].at()[0], over), (last[0].at()[0], over)
    draw_arrow(axes, (inputs[0].at(0.5, 1), *corners, last[0].at(0.5, 1)), FAINT)
    note(last[0].at()[0] + 0.05, over - 0.12, "cat")
    draw_arrow(axes, (d1[1].at(1), last[0].at(0)))
    draw_arrow(axes, (last[0].at(1), last[1].at(0)))
    draw_arrow(axes, (last[1].at(0.5, 0), last[2].at(0.5, 1)))
    draw_arrow(axes, (last[2].at(0), last[3].at(1)))
    draw_arrow(axes, (last[3].at(0.5, 0), (last[3].at()[0], rows[2] + high)))
    title = f"MSFF, head “{network.head}” · {count_parameters(network):,} parameters"
    axes.text(0.04, 3.52, title, fontsize=8.5, weight="bold", va="top")
    note(0.04, 0.06, "k kernel, s stride; channels × side²")
    return figure


def _name_convolution(part: nn.Module) -> str:
    """Label of the first convolution in a block: kernel and stride; a transposed one upsamples by its stride."""
    layer = next(m for m in part.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    if isinstance(layer, nn.ConvTranspose2d):
        return f"conv k{kernel}" + (f" up {stride}" if stride > 1 else "")
    return f"conv k{kernel} s{stride}"
