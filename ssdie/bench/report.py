"""The result of `ssdie.bench.suite` as tables and as a plot."""

from pathlib import Path

from ssdie.utils.paths import atomic


def markdown(result: dict, goals: bool = False) -> str:
    """Give the table of a benchmark's figures, each beside its goal.

    Args:
        result: of `ssdie.bench.suite.bench`, or read from its JSON file.
        goals: only the figures that have one.

    Example:
        >>> lines = [{"name": "copy", "median": 0.5, "least": 0.4, "most": 0.6, "repeats": 3, "unit": "s"}]
        >>> machine = {"processor": "P", "cores": 2, "gpu": "none", "torch": "2"}
        >>> print(markdown({"machine": machine, "figures": lines, "quick": True}).splitlines()[-1])
        | copy | 0.5 s | 0.4 to 0.6 | - |
    """
    m = result["machine"]
    gpu = "" if m["gpu"] == "none" else f", {m['gpu']}"
    kind = "quick run, whose steps are smaller than the goals are meant for" if result["quick"] else "full run"
    lines = [f"{m['processor']}, {m['cores']} cores{gpu}, torch {m['torch']}; {kind}.", ""]
    lines += ["| what | median | least to most | goal |", "|---|---|---|---|"]
    for f in (f for f in result["figures"] if "goal" in f or not goals):
        spread = f"{f['least']:.3g} to {f['most']:.3g}" if f["repeats"] > 1 else "one run"
        goal = f"{f['goal']}, {'met' if f['met'] else 'not met'}" if "goal" in f else "-"
        lines.append(f"| {f['name']} | {f['median']:.3g} {f['unit']}".rstrip() + f" | {spread} | {goal} |")
    return "\n".join(lines)


def archive_table(result: dict) -> str:
    """Give the table of what a million photos cost.

    Args:
        result: of `ssdie.bench.suite.bench`, or read from its JSON file.

    Example:
        >>> sizes = {"1 megapixel": {"width": 1000, "height": 1000, "seconds": 0.36, "codec": 0.09}}
        >>> print(archive_table({"archive": sizes}).splitlines()[-1])
        | 1 megapixel (1000 x 1000) | 0.36 | 100 | 1.6 h | 25 % |
    """
    head = "| photo | core-seconds each | core-hours for a million | 64 cores | of that decoding and encoding |"
    lines = [head, "|---|---|---|---|---|"]
    for name, size in result["archive"].items():
        hours = size["seconds"] * 1e6 / 3600
        share = 100 * size["codec"] / size["seconds"]
        told = f"{size['seconds']:.2g} | {hours:.0f} | {hours / 64:.2g} h | {share:.0f} %"
        lines.append(f"| {name} ({size['width']} x {size['height']}) | {told} |")
    return "\n".join(lines)


def plot(result: dict, path: str | Path) -> Path:
    """Draw time against pixels, and the parts of a training step; write them to `path`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    pixels, seconds = ([photo[key] for photo in result["photos"]] for key in ("pixels", "seconds"))
    left.loglog([p / 1e6 for p in pixels], seconds, "o-", label="measured")
    left.loglog([1, 50], [seconds[-1] / 50, seconds[-1]], ":", color="gray", label="in proportion to pixels")
    left.set(xlabel="photo (Mpx)", ylabel="seconds", title="Enhancement of a photo")
    left.legend()
    colours: dict[str, str] = {}
    for row, parts in enumerate(result["parts"].values()):
        start = 0.0
        for part, value in parts.items():
            known = part in colours
            colour = colours.setdefault(part, f"C{len(colours) % 10}")
            right.barh(row, value, left=start, color=colour, label=None if known else part)
            start += value
    right.set_yticks(range(len(result["parts"])), list(result["parts"]))
    right.set(xlabel="seconds", title="One step of semi-supervised training")
    right.invert_yaxis()
    right.legend(fontsize=7)
    path = Path(path)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path
