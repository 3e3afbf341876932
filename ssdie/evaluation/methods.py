"""Run methods on images and measure them: a row per image and method, and a table of means with intervals."""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from ssdie.data.sample import list_sample, read_pair
from ssdie.evaluation.baselines import BASELINES
from ssdie.evaluation.benchmarks import PRESETS, fit_size, match_pairs, parse_size
from ssdie.evaluation.metrics import METRICS, measure
from ssdie.evaluation.niqe import load_pristine
from ssdie.evaluation.statistics import network_costs
from ssdie.evaluation.tables import format_report, summarise, write_tables
from ssdie.ops.images import fit_long_side, read_image, resize
from ssdie.photo.files import list_images
from ssdie.synthesis.dust import add_dust
from ssdie.utils.paths import data_root

UNPAIRED_LONG_SIDE = 640  # pixels
METHODS = ("input", *BASELINES, "ssdie")
PEER = "toenet"  # a method of which only the outputs are compared; they lie in `bench/toenet` of SSDIE_DATA
Method = Callable[[torch.Tensor, str], torch.Tensor]  # dusty (1, 3, H, W) and its name to enhanced


class Example(NamedTuple):
    """An image to be enhanced, and its reference image if it has one."""

    name: str
    dusty: Path | torch.Tensor
    clear: Path | torch.Tensor | None
    size: tuple[int, int] | int | None = None  # resized to (height, width) or to a longest side; pixels

    def load(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Read dusty and reference image, (1, 3, H, W) in [0, 1]."""
        read = (
            p if p is None or isinstance(p, torch.Tensor) else read_image(p)[None] for p in (self.dusty, self.clear)
        )
        return tuple(None if image is None else fit_size(image, self.size) for image in read)


def evaluate(
    methods: Sequence[str] | Mapping[str, str | Callable] | None = None,
    dusty: str | Path | None = None,
    clear: str | Path | None = None,
    out: str | Path | None = None,
    long_side: int | None = None,
    bootstrap: int = 2000,
    seed: int = 0,
    workers: int = 1,
    checkpoint: str | Path | None = None,
    sample: int = 15,
    limit: int = 0,
    match: str = "stem",
    size: str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Enhance every image by every method at its own size, and measure it against dusty and reference image.

    Args:
        methods: each "input", the name of a baseline, "ssdie" (the released weights at the strength "auto", the
            default), "toenet" (its outputs in SSDIE_DATA), a folder of enhanced images (matched by stem) or a file of
            weights (at strength 1, to compare networks); "name=path" names the method of a path. Or a mapping from
            names to those, or to functions of (1, 3, H, W) in [0, 1]. None takes `default_methods`.
        dusty: folder of dusty images, or the name of a preset of `ssdie.evaluation.benchmarks.PRESETS`, whose folder is
            then `clear`; None takes the embedded sample, to which dust is added with a fixed seed.
        clear: folder of their reference images; None leaves out the metrics that need them.
        out: folder for pictures.csv, summary.csv, summary.md and summary.tex, and with several methods ranks.csv and
            differences.csv; None writes nothing.
        long_side: images are shrunk to it before they are measured, pixels; 0 keeps their size; None means 640 without
            reference images, their own size with them.
        bootstrap: number of resamples of the images.
        seed: of the bootstrap.
        workers: threads, each with one image.
        checkpoint: weights that "ssdie" stands for, instead of the released ones.
        sample: number of images of the embedded sample, at most 15.
        limit: only the first so many images; 0 takes all.
        match: rule that finds the reference image, as for `ssdie.evaluation.benchmarks.match_pairs`.
        size: "N" or "WIDTHxHEIGHT": resize the images before they are enhanced; pixels.

    Returns:
        pictures: a row per image and method; columns picture, method, `METRICS`, niqe_model (the pristine model of
            NIQE; scores under different ones cannot be compared).
        summary: as returned by `ssdie.evaluation.tables.summarise`.

    Raises:
        ValueError, FileNotFoundError: an unknown method, an empty folder, an image without its reference image.

    Images are rounded to 8 bits before they are measured, as when they are stored in a file.

    Example:
        >>> pictures, summary = evaluate(["input"], sample=2)
        >>> pictures["e"].tolist(), pictures["saturated"].tolist()  # nothing changed
        ([0.0, 0.0], [0.0, 0.0])
    """
    examples = list_examples(dusty, clear, sample, match, size)[: limit or None]
    methods = default_methods(examples) if methods is None else methods
    solvers = resolve_methods(methods, checkpoint)
    if long_side is None:
        long_side = UNPAIRED_LONG_SIDE if dusty and not clear else 0
    job = functools.partial(_measure_example, methods=solvers, long_side=long_side)
    with ThreadPoolExecutor(workers) as pool:
        rows = list(tqdm(pool.map(job, examples), "evaluate", len(examples), leave=None, unit="image"))
    pictures = pd.DataFrame([row for some in rows for row in some])
    pictures = pictures[["picture", "method", *(m for m in METRICS if m in pictures)]]
    pictures["niqe_model"] = load_pristine().name
    summary = summarise(pictures, bootstrap, seed)
    if out is not None:
        report = report_comparison(pictures, summary, methods, checkpoint, bootstrap, seed)
        write_tables(pictures, summary, Path(out), report)
    return pictures, summary


def report_comparison(
    pictures: pd.DataFrame,
    summary: pd.DataFrame,
    methods: Sequence[str] | Mapping[str, str | Callable] | None = None,
    checkpoint: str | Path | None = None,
    bootstrap: int = 2000,
    seed: int = 0,
) -> str:
    """Format the results of `evaluate` as Markdown: means, differences to ssdie, ranks, cost of the networks.

    Args:
        pictures, summary: as returned by `evaluate`.
        methods, checkpoint, bootstrap, seed: as given to `evaluate`.
    """
    sources = name_methods(pictures["method"].unique() if methods is None else methods)
    files = {name: checkpoint if source == "ssdie" and checkpoint else source for name, source in sources.items()}
    costs = network_costs({name: source for name, source in files.items() if not callable(source)})
    return format_report(pictures, summary, costs, bootstrap, seed)


def default_methods(examples: Sequence[Example]) -> tuple[str, ...]:
    """List all methods, with "toenet" where SSDIE_DATA holds its outputs for these images."""
    outputs = _peer_outputs()
    known = bool(examples) and all(example.name in outputs for example in examples)
    return (*METHODS[:-1], PEER, METHODS[-1]) if known else METHODS


def list_examples(
    dusty: str | Path | None = None,
    clear: str | Path | None = None,
    sample: int = 15,
    match: str = "stem",
    size: str | None = None,
) -> list[Example]:
    """List the images of a folder with their reference images; without a folder, add dust to the embedded sample.

    Args:
        dusty, clear, sample, match, size: as for `evaluate`.

    Raises:
        ValueError: the folder is empty, or `clear` is given without `dusty`.
        FileNotFoundError: a dusty image has no reference image.
    """
    if dusty is None:
        if clear is not None:
            raise ValueError(f"dusty: expected a folder beside clear={clear}, got none. Give both folders, or neither.")
        return [_dust_example(picture.name, seed) for seed, picture in enumerate(list_sample("val")[:sample])]
    if str(dusty) in PRESETS:
        if clear is None:
            raise ValueError(f"preset {dusty}: expected the folder of the benchmark, got none. Give it as well.")
        pairs = PRESETS[str(dusty)](clear)
    else:
        paths = list_images(dusty)
        if not paths:
            raise ValueError(f"{dusty}: expected at least one photo, got none. Check the folder.")
        pairs = [(path, None) for path in paths] if clear is None else match_pairs(paths, list_images(clear), match)
    shape = None if size is None else parse_size(size)
    return [Example(path.stem, path, reference, shape) for path, reference in pairs]


def _dust_example(name: str, seed: int) -> Example:
    """Add dust to an image of the sample."""
    clear, depth = read_pair(name)
    return Example(name, add_dust(clear[None], depth[None], generator=seed).dusty, clear[None])


def resolve_methods(
    methods: Sequence[str] | Mapping[str, str | Callable], checkpoint: str | Path | None = None
) -> dict[str, Method]:
    """Turn the methods that `evaluate` takes into functions of (dusty, name), by name.

    Example:
        >>> list(resolve_methods(["input", "gray_world"]))
        ['input', 'gray_world']
    """
    return {name: _resolve(name, source, checkpoint) for name, source in name_methods(methods).items()}


def name_methods(methods: Sequence[str] | Mapping[str, str | Callable]) -> dict[str, str | Callable]:
    """Return methods by name: "name=path" is split, a path without a name is named by its stem.

    Raises:
        ValueError: two methods have the same name, or `methods` is a single string.

    Example:
        >>> name_methods(["ssdie", "peer=outputs/peer"])
        {'ssdie': 'ssdie', 'peer': 'outputs/peer'}
    """
    if isinstance(methods, str):
        raise ValueError(f"methods: expected a list, got {methods!r}. Write [{methods!r}].")
    if isinstance(methods, Mapping):
        return dict(methods)
    named = [_split_name(str(method)) for method in methods]
    if len(dict(named)) < len(named):
        raise ValueError(f"methods: expected different names, got {', '.join(n for n, _ in named)}. Write name=path.")
    return dict(named)


def _split_name(text: str) -> tuple[str, str]:
    """Split "name=path"; a path alone is named by its stem."""
    name, equals, path = text.partition("=")
    return (name, path) if equals else (text if text in METHODS else Path(text).stem, text)


def _resolve(name: str, source: str | Path | Callable, checkpoint: str | Path | None) -> Method:
    """Make one function of (dusty, name of the image)."""
    if callable(source):
        return lambda dusty, _: source(dusty)
    if source == "input":
        return lambda dusty, _: dusty
    if source in BASELINES:
        return lambda dusty, _: BASELINES[source](dusty)
    if source == PEER and (outputs := _peer_outputs()):
        return functools.partial(_read_output, outputs=outputs, where=f"{name} (bench/toenet of SSDIE_DATA)")
    if source != "ssdie" and Path(source).is_dir():
        return functools.partial(_read_output, outputs=_by_stem(source), where=f"{name} ({source})")
    if source == "ssdie" or Path(source).is_file():
        from ssdie.enhancement.photo import enhance
        from ssdie.enhancement.runtime import load_model
        from ssdie.enhancement.strength import AUTO

        model = load_model(checkpoint if source == "ssdie" else source)
        strength = AUTO if source == "ssdie" else 1.0  # the default for users; the full change, to compare networks
        return lambda dusty, _: enhance(dusty, model, strength)
    known = ", ".join((*METHODS, PEER))
    raise ValueError(f"method: expected one of {known}, a folder or a file of weights, got {str(source)!r}.")


def _peer_outputs() -> dict[str, Path]:
    """Outputs of TOENet in SSDIE_DATA, by the stem of the dusty image; empty without them."""
    root = data_root()
    folders = [root / "bench" / "toenet" / kind for kind in ("synthetic", "real")] if root else []
    return {stem: path for folder in folders if folder.is_dir() for stem, path in _by_stem(folder).items()}


def _read_output(dusty: torch.Tensor, name: str, outputs: dict[str, Path], where: str) -> torch.Tensor:
    """Read the enhanced image of that name, resized to the dusty one."""
    if name not in outputs:
        raise FileNotFoundError(f"{where}: expected an image with the stem {name}, got none. Add it.")
    return resize(read_image(outputs[name])[None], dusty.shape[-2:])


def _by_stem(folder: str | Path) -> dict[str, Path]:
    """Index the images of a folder by stem."""
    paths = list_images(folder)
    index = {path.stem: path for path in paths}
    if len(index) < len(paths):
        twice = next(path for path in paths if index[path.stem] != path)
        names = f"{twice.name} and {index[twice.stem].name}"
        raise ValueError(f"{folder}: expected one image of each stem, got {names}. Remove one.")
    return index


@torch.inference_mode()
def _measure_example(example: Example, methods: dict[str, Method], long_side: int) -> list[dict]:
    """Rows of one image, one for each method."""
    photo, reference = example.load()
    dusty = _as_stored(photo, long_side)
    clear = None if reference is None else _as_stored(reference, long_side)
    rows = []
    for name, method in methods.items():
        enhanced = _as_stored(method(photo, example.name), long_side)
        rows.append({"picture": example.name, "method": name, **measure(enhanced, dusty, clear)})
    return rows


def _as_stored(image: torch.Tensor, long_side: int) -> torch.Tensor:
    """Shrink an image to a longest side, if that is not 0, and round it to 8 bits."""
    image = fit_long_side(image, long_side) if long_side else image
    return (image * 255).round() / 255
