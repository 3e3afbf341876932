"""Diagrams of the method and of the network; channels and sizes are read from the network that is drawn."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import nn

from ssdie.figures import FAINT, INK, Picture, cover, show_picture, styled
from ssdie.networks import MSFF, count_parameters

# face and edge of a box, by what it does
PLAIN, NETWORK, LOSS, JUDGE = (
    ("#f2f4f7", "#aab2bd"),
    ("#dcebf7", "#0173b2"),
    ("#fdebd5", "#de8f05"),
    ("#dff3ea", "#029e73"),
)


@dataclass
class Box:
    """A rectangle on the drawing, in inches: lower left corner, width, height."""

    x: float
    y: float
    width: float
    height: float

    def at(self, right: float = 0.5, up: float = 0.5) -> tuple[float, float]:
        """A point of the box, by its share of width and height."""
        return self.x + right * self.width, self.y + up * self.height


def draw_box(axes: Axes, box: Box, text: str, colours: tuple[str, str] = PLAIN, size: float = 7.0) -> Box:
    """Draw a rounded box with text in its middle; text in $ signs is mathematics."""
    face, edge = colours
    shape = FancyBboxPatch(
        (box.x, box.y),
        box.width,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.06",
        fc=face,
        ec=edge,
        lw=0.9,
        zorder=2,
    )
    axes.add_patch(shape)
    axes.text(*box.at(), text, ha="center", va="center", fontsize=size, linespacing=1.35, zorder=3)
    return box


def draw_picture(axes: Axes, box: Box, picture: Picture, caption: str) -> Box:
    """Draw a picture, cut to the box, with its name below."""
    inner = axes.inset_axes((box.x, box.y, box.width, box.height), transform=axes.transData)
    show_picture(inner, cover(picture, (round(box.height * 250), round(box.width * 250))))
    axes.text(box.at(0.5)[0], box.y - 0.05, caption, ha="center", va="top", fontsize=7, linespacing=1.2)
    return box


def draw_arrow(
    axes: Axes, points: Sequence[tuple[float, float]], colour: str = INK, dashed: bool = False
) -> None:
    """Draw a line through the points, with a head at its end."""
    style = {"color": colour, "lw": 0.9, "ls": (0, (3, 2)) if dashed else "-", "zorder": 1.5}
    if len(points) > 2:
        axes.plot(*zip(*points[:-1], strict=True), solid_capstyle="round", solid_joinstyle="round", **style)
    head = {"arrowstyle": "-|>", "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0, "joinstyle": "miter"}
    axes.add_patch(FancyArrowPatch(*points[-2:], **head, **style))


def make_canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Give a figure and axes whose units are inches."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


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
) -> Figure:
    """Draw how SSDIE-Net is trained: one branch on synthetic pairs, one on real photos.

    Args:
        clear, depth, synthetic: a scene, its depth (1, H, W), and the scene under synthetic dust.
        restored: what the generator makes of `synthetic`.
        real, copy_, pseudo_label: a dusty photo, an augmented copy of it, its Retinex.
        enhanced: what the generator makes of the copy.
    """
    figure, axes = make_canvas(7.2, 4.15)
    wide, high, first, second, third = 0.88, 0.62, 3.02, 1.58, 0.62
    axes.text(0.02, 4.12, "Supervised branch · synthetic pairs", fontsize=8.5, weight="bold", va="top")
    axes.text(0.02, 2.55, "Unsupervised branch · real photos", fontsize=8.5, weight="bold", va="top")

    scene = draw_picture(axes, Box(0.02, first, wide, high), clear, "clear $J$")
    distance = draw_picture(axes, Box(0.98, first, wide, high), depth, "depth $d$")
    law = "dust synthesis\n$I = J\\,t + A\\,(1-t)$\n$t = e^{-\\beta d}$"
    dust = draw_box(axes, Box(2.04, first, 0.94, high), law, size=6.4)
    dusty = draw_picture(axes, Box(3.16, first, wide, high), synthetic, "dusty $I$")
    photo = draw_picture(axes, Box(0.02, second, wide, high), real, "real dusty $x$")
    many = "$K$ copies, disturbed: $x + n_k$\n$K$ copies, augmented: $y_k$"
    copies = draw_box(axes, Box(1.16, second, 1.82, high), many, size=6.4)
    sample = draw_picture(axes, Box(3.16, second, wide, high), copy_, "a copy $y_k$")
    label = draw_picture(axes, Box(3.16, third, wide, high), pseudo_label, "pseudo-label $R(x)$")

    network = Box(4.17, second, 0.52, first + high - second)
    draw_box(axes, network, "$G$\n\ngenerator\n(MSFF)\n\none set\nof\nweights", NETWORK, 6.6)
    output = draw_picture(axes, Box(4.82, first, wide, high), restored, "$G(I)$")
    result = draw_picture(axes, Box(4.82, second, wide, high), enhanced, "$G(y_k)$")
    parts = "$L_{sup}$, target $J$\nreconstruction\nperceptual · style"
    supervised = draw_box(axes, Box(5.9, first, 1.28, high), parts, LOSS, 6.6)
    judged = (
        (LOSS, "consistency\n$|G(x) - G(x + n_k)|$"),
        (JUDGE, "adversarial\n$D(G(y_k)) \\rightarrow$ clear"),
        (JUDGE, "dark channel\ndc-Net(dark $G(y_k)$) $\\rightarrow$ clear"),
        (LOSS, "Retinex\n$|G(x) - R(x)|$"),
    )
    terms = [Box(5.9, 2.06 - 0.395 * k, 1.28, 0.33) for k in range(len(judged))]
    for box, (colours, text) in zip(terms, judged, strict=True):
        draw_box(axes, box, text, colours, 6.2)
    axes.text(6.54, 2.47, "$L_{unsup}$", ha="center", va="center", fontsize=7.5)

    axes.text(0.94, first + high / 2, "+", ha="center", va="center", fontsize=8)
    for start, end in ((distance, dust), (dust, dusty), (photo, copies), (copies, sample)):
        draw_arrow(axes, (start.at(1), end.at(0)))
    for start, end in ((dusty, output), (sample, result)):
        level = start.at(1)[1]
        draw_arrow(axes, (start.at(1), (network.x, level)))
        draw_arrow(axes, ((network.x + network.width, level), end.at(0)))
    over = 3.8
    target = (
        scene.at(0.5, 1),
        (scene.at(0.5)[0], over),
        (supervised.at(0.5)[0], over),
        supervised.at(0.5, 1),
    )
    draw_arrow(axes, target, FAINT)
    draw_arrow(axes, (output.at(1), supervised.at(0)))
    rail = 5.8
    axes.plot((result.at(1)[0], rail), (result.at(1)[1],) * 2, color=INK, lw=0.9)
    for box in terms:
        draw_arrow(axes, ((rail, result.at(1)[1]), (rail, box.at(0)[1]), box.at(0)))
    draw_arrow(axes, ((0.1, second - 0.2), (0.1, label.at(0)[1]), label.at(0)), FAINT)
    draw_arrow(axes, (label.at(1), (5.9, label.at(1)[1])), FAINT)

    stages = (
        "Stage 1\n$G$ on synthetic pairs",
        "Stage 2\ndc-Net: dark channels, clear against dusty",
        "Stage 3\nboth branches; $D$ and $G$ in turn",
    )
    for k, text in enumerate(stages):
        draw_box(axes, Box(0.02 + 2.42 * k, 0.03, 2.32, 0.33), text, PLAIN, 6.4)
    return figure


# The network ------------------------------------------------------------------------------------------------


def read_shapes(network: nn.Module, size: int = 256) -> dict[str, tuple[int, int]]:
    """Give (channels, height) of what every module puts out for a square picture, by name; "" is the network.

    Example:
        >>> read_shapes(MSFF(), 256)["encode1.1"]
        (128, 64)
    """
    shapes: dict[str, tuple[int, int]] = {}
    network = copy.deepcopy(network).to("meta").eval()  # shapes without numbers

    def note(name: str, output: torch.Tensor) -> None:
        shapes[name] = (output.shape[1], output.shape[2])

    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
    network(torch.empty(1, 3, size, size, device="meta"))
    return shapes


@styled
def draw_network(network: MSFF, size: int = 256) -> Figure:
    """Draw MSFF: three encoders, two cross-attentions, three decoders; channels x side under every block.

    Args:
        network: to draw.
        size: side of the input; pixels.
    """
    shapes = read_shapes(network, size)
    figure, axes = make_canvas(7.2, 3.55)
    rows = (2.45, 1.5, 0.55)  # scales: full, half, quarter
    wide, high = 0.74, 0.44

    def block(
        x: float, y: float, name: str, title: str, colours: tuple[str, str], width: float = wide
    ) -> Box:
        channels, side = shapes[name]
        return draw_box(axes, Box(x, y, width, high), f"{title}\n{channels} × {side}²", colours, 6.2)

    inputs, encoders = [], []
    for k, y in enumerate(rows):
        names = ("$x$", "$x/2$", "$x/4$")
        inputs.append(draw_box(axes, Box(0.04, y, 0.52, high), f"{names[k]}\n3 × {size >> k}²", PLAIN, 6.4))
        kernels = [part[0] for part in getattr(network, f"encode{k + 1}")]
        titles = [f"conv k{c.kernel_size[0]} s{c.stride[0]}" for c in kernels]
        line = [block(0.78 + 0.88 * n, y, f"encode{k + 1}.{n}", titles[n], NETWORK) for n in range(2)]
        encoders.append(line)
        draw_arrow(axes, (inputs[k].at(1), line[0].at(0)))
        draw_arrow(axes, (line[0].at(1), line[1].at(0)))
    for above, below in ((0, 1), (1, 2)):
        draw_arrow(axes, (inputs[above].at(0.5, 0), inputs[below].at(0.5, 1)))
        axes.text(
            0.34, (rows[above] + rows[below] + high) / 2, "mean 2×2", fontsize=5.6, color=FAINT, va="center"
        )

    (_, e1), (_, e2), (skip, e3) = encoders
    a12, a23 = (block(2.88, rows[k], f"attend{k}{k + 1}", "cross-attention", LOSS, 0.84) for k in (1, 2))
    d1, d2, d3 = (
        [
            block(3.9 + 0.88 * n, rows[k - 1], f"decode{k}.{n}", _name_decoder(part), JUDGE)
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
        axes.text(3.1, bend - 0.1, "query", fontsize=5.6, color=LOSS[1], va="center")
        axes.text(2.44, box.at(0, 0.3)[1] + 0.07, "key, value", fontsize=5.6, color=FAINT, va="center")
    for start, line in ((e1, d1), (a12, d2), (a23, d3)):
        draw_arrow(axes, (start.at(1), line[0].at(0)))
        draw_arrow(axes, (line[0].at(1), line[1].at(0)))
    for below, above in ((d3, d2), (d2, d1)):
        draw_arrow(axes, (below[1].at(0.5, 1), above[1].at(0.5, 0)))
        axes.text(
            below[1].at(0.5)[0] + 0.05,
            below[1].y + high + 0.26,
            "cat",
            fontsize=5.6,
            color=FAINT,
            va="center",
        )
    under, over = 0.3, 3.16
    draw_arrow(
        axes, (skip.at(0.5, 0), (skip.at()[0], under), (d3[1].at()[0], under), d3[1].at(0.5, 0)), FAINT
    )
    axes.text(
        d3[1].at()[0] - 0.06, under + 0.08, "skip, cat", fontsize=5.6, color=FAINT, va="center", ha="right"
    )

    last = [
        block(5.78, rows[0], "final.0", "conv k3", JUDGE, 0.66),
        block(6.52, rows[0], "final.1", "conv k3", JUDGE, 0.66),
    ]
    last += [
        block(6.52, rows[1], "final.2", "conv k3", JUDGE, 0.66),
        block(5.78, rows[1], "output", "conv k3", JUDGE, 0.66),
    ]
    head = {"tanh": "tanh", "scattering": "$e^{k}\\,(x - v)$"}[network.head]
    draw_box(axes, Box(5.78, rows[2], 1.4, high), f"{head}\nenhanced 3 × {size}²", PLAIN, 6.4)
    draw_arrow(
        axes,
        (inputs[0].at(0.5, 1), (inputs[0].at()[0], over), (last[0].at()[0], over), last[0].at(0.5, 1)),
        FAINT,
    )
    axes.text(last[0].at()[0] + 0.05, over - 0.12, "cat", fontsize=5.6, color=FAINT, va="center")
    draw_arrow(axes, (d1[1].at(1), last[0].at(0)))
    draw_arrow(axes, (last[0].at(1), last[1].at(0)))
    draw_arrow(axes, (last[1].at(0.5, 0), last[2].at(0.5, 1)))
    draw_arrow(axes, (last[2].at(0), last[3].at(1)))
    draw_arrow(axes, (last[3].at(0.5, 0), (last[3].at()[0], rows[2] + high)))
    title = f"MSFF, head “{network.head}” · {count_parameters(network):,} parameters"
    axes.text(0.04, 3.52, title, fontsize=8.5, weight="bold", va="top")
    axes.text(0.04, 0.06, "channels × side²", fontsize=5.8, color=FAINT, va="center")
    return figure


def _name_decoder(part: nn.Module) -> str:
    """Kernel and stride of a transposed convolution."""
    layer = part[0]
    return f"conv k{layer.kernel_size[0]}" + (" up 2" if layer.stride[0] == 2 else "")
