"""Measure methods on photos: a row per picture and method, and a table of means with bootstrap intervals."""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from ssdie.data.sample import embedded_sample
from ssdie.evaluation.baselines import BASELINES
from ssdie.evaluation.metrics import METRICS, measure
from ssdie.evaluation.niqe import load_pristine
from ssdie.evaluation.tables import summarise, write_tables
from ssdie.ops.images import fit_long_side, read_image, resize
from ssdie.photo.files import list_images
from ssdie.synthesis.dust import add_dust

UNPAIRED_LONG_SIDE = 640  # pixels
METHODS = ("input", *BASELINES, "ssdie")
Method = Callable[[torch.Tensor, str], torch.Tensor]  # dusty (1, 3, H, W) and its name to enhanced


class Example(NamedTuple):
    """A picture to be enhanced, and its clear twin if it has one."""

    name: str
    dusty: Path | torch.Tensor
    clear: Path | torch.Tensor | None


def evaluate(
    methods: Sequence[str] | Mapping[str, str | Callable] = METHODS,
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
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Enhance every photo by every method at its own size; measure it against dusty photo and clear twin.

    Args:
        methods: each "input", the name of a baseline, "ssdie" (the released weights), a folder of ready
            pictures (matched by stem) or a checkpoint file; "name=path" gives a path a name of its own. Or a
            mapping from names to those, or to functions of (1, 3, H, W) in [0, 1].
        dusty: folder of dusty photos; None takes the embedded sample, dusted with a fixed seed.
        clear: folder of their clear twins, matched by stem; None leaves out what needs a twin.
        out: folder for pictures.csv, summary.csv, summary.md and summary.tex; None writes nothing.
        long_side: pictures are shrunk to it before they are measured, pixels; 0 keeps their size; None means
            640 without twins, their own size with twins.
        bootstrap: number of resamples of the pictures.
        seed: of the bootstrap.
        workers: threads, each with one picture.
        checkpoint: what "ssdie" stands for, instead of the released weights.
        sample: number of pictures of the embedded sample.
        limit: only the first so many pictures; 0 takes all.

    Returns:
        pictures: a row per picture and method; columns picture, method, `METRICS`, niqe_model (the pristine
            model that NIQE took; scores under different ones cannot be compared).
        summary: as `ssdie.evaluation.tables.summarise` gives it.

    Raises:
        ValueError, FileNotFoundError: an unknown method, an empty folder, a picture without its twin.

    Pictures are rounded to 8 bit before they are measured, as a file stores them.

    Example:
        >>> pictures, summary = evaluate(["input"], sample=2)
        >>> pictures["e"].tolist(), pictures["saturated"].tolist()  # nothing changed
        ([0.0, 0.0], [0.0, 0.0])
    """
    examples = list_examples(dusty, clear, sample)[: limit or None]
    solvers = resolve_methods(methods, checkpoint)
    if long_side is None:
        long_side = UNPAIRED_LONG_SIDE if dusty and not clear else 0
    job = functools.partial(_measure_example, methods=solvers, long_side=long_side)
    with ThreadPoolExecutor(workers) as pool:
        rows = list(tqdm(pool.map(job, examples), "evaluate", len(examples), leave=None, unit="picture"))
    pictures = pd.DataFrame([row for some in rows for row in some])
    pictures = pictures[["picture", "method", *(m for m in METRICS if m in pictures)]]
    pictures["niqe_model"] = load_pristine().name
    summary = summarise(pictures, bootstrap, seed)
    if out is not None:
        write_tables(pictures, summary, Path(out))
    return pictures, summary


def list_examples(dusty: str | Path | None = None, clear: str | Path | None = None, sample: int = 15) -> list[Example]:
    """List the pictures of a folder with their clear twins; without a folder, dust the embedded sample.

    Raises:
        ValueError: the folder is empty, or `clear` comes without `dusty`.
        FileNotFoundError: a dusty photo has no clear twin.
    """
    if dusty is None:
        if clear is not None:
            raise ValueError(f"clear is {clear}, but there is no dusty; give both folders, or neither.")
        return [
            Example(name, add_dust(photo[None], depth[None], generator=seed).dusty, photo[None])
            for seed, (name, photo, depth) in enumerate(embedded_sample(sample, "val"))
        ]
    paths = list_images(dusty)
    if not paths:
        raise ValueError(f"{dusty} holds no photo; give a folder with at least one.")
    if clear is None:
        return [Example(path.stem, path, None) for path in paths]
    twins = _by_stem(clear)
    missing = [path.name for path in paths if path.stem not in twins]
    if missing:
        raise FileNotFoundError(f"{clear} has no twin for {', '.join(missing[:5])}; twins share a stem.")
    return [Example(path.stem, path, twins[path.stem]) for path in paths]


def resolve_methods(
    methods: Sequence[str] | Mapping[str, str | Callable], checkpoint: str | Path | None = None
) -> dict[str, Method]:
    """Turn what `evaluate` takes as methods into functions of (dusty, name), by name.

    Example:
        >>> list(resolve_methods(["input", "gray_world"]))
        ['input', 'gray_world']
    """
    if isinstance(methods, str):
        raise ValueError(f"methods is {methods!r}; wanted is a list; write [{methods!r}].")
    if not isinstance(methods, Mapping):
        named = [_name_method(str(method)) for method in methods]
        methods = dict(named)
        if len(methods) < len(named):
            raise ValueError(f"methods {', '.join(n for n, _ in named)} share a name; write name=path.")
    return {name: _resolve(name, source, checkpoint) for name, source in methods.items()}


def _name_method(text: str) -> tuple[str, str]:
    """Split "name=path"; a path alone is called by its stem."""
    name, equals, path = text.partition("=")
    return (name, path) if equals else (text if text in METHODS else Path(text).stem, text)


def _resolve(name: str, source: str | Path | Callable, checkpoint: str | Path | None) -> Method:
    """Make one function of (dusty, name of the picture)."""
    if callable(source):
        return lambda dusty, _: source(dusty)
    if source == "input":
        return lambda dusty, _: dusty
    if source in BASELINES:
        return lambda dusty, _: BASELINES[source](dusty)
    if source != "ssdie" and Path(source).is_dir():
        return functools.partial(_read_ready, ready=_by_stem(source), where=f"{name} ({source})")
    if source == "ssdie" or Path(source).is_file():
        from ssdie.enhancement.photo import enhance
        from ssdie.enhancement.runtime import load_model

        model = load_model(checkpoint if source == "ssdie" else source)
        return lambda dusty, _: enhance(dusty, model)
    known = ", ".join(METHODS)
    raise ValueError(f"method is {str(source)!r}; wanted is one of {known}, a folder or a checkpoint.")


def _read_ready(dusty: torch.Tensor, name: str, ready: dict[str, Path], where: str) -> torch.Tensor:
    """Read the ready picture of that name, at the size of the dusty one."""
    if name not in ready:
        raise FileNotFoundError(f"{where} has no picture for {name}; ready and dusty share a stem.")
    return resize(read_image(ready[name])[None], dusty.shape[-2:])


def _by_stem(folder: str | Path) -> dict[str, Path]:
    """Index the pictures of a folder by stem."""
    paths = list_images(folder)
    index = {path.stem: path for path in paths}
    if len(index) < len(paths):
        twice = next(path for path in paths if index[path.stem] != path)
        raise ValueError(f"{folder} holds {twice.name} and {index[twice.stem].name}; keep one of each stem.")
    return index


@torch.inference_mode()
def _measure_example(example: Example, methods: dict[str, Method], long_side: int) -> list[dict]:
    """Rows of one picture, one for each method."""
    photo = _load(example.dusty)
    dusty = _as_filed(photo, long_side)
    clear = None if example.clear is None else _as_filed(_load(example.clear), long_side)
    rows = []
    for name, method in methods.items():
        enhanced = _as_filed(method(photo, example.name), long_side)
        rows.append({"picture": example.name, "method": name, **measure(enhanced, dusty, clear)})
    return rows


def _load(source: Path | torch.Tensor) -> torch.Tensor:
    return source if isinstance(source, torch.Tensor) else read_image(source)[None]


def _as_filed(image: torch.Tensor, long_side: int) -> torch.Tensor:
    """Shrink, and round to 8 bit."""
    image = fit_long_side(image, long_side) if long_side else image
    return (image * 255).round() / 255
