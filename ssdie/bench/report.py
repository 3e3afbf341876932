"""Tables and the plot of a result of `ssdie.bench.suite`, and the tables of `docs/scaling.md`."""

import re
from pathlib import Path

from ssdie.utils.paths import atomic, write_text

BIG = "12 megapixels"  # the photo of the example


def markdown(result: dict, targets: bool = False) -> str:
    """Format the measurements of a benchmark as a table, each beside its target.

    Args:
        result: from `ssdie.bench.suite.bench`, or read from its JSON file.
        targets: only the measurements that have a target.

    Example:
        >>> from ssdie.bench.measure import measurement
        >>> lines = [measurement("copy", [0.4, 0.5, 0.6], "s", cpu=0.3, cpu_target=("<=", 0.4))]
        >>> machine = {"cpu": "P", "instruction_sets": ["avx2"], "cores": 2, "gpu": "none", "torch": "2"}
        >>> print(markdown({"machine": machine, "measurements": lines, "quick": True}).splitlines()[-1])
        | copy | 0.5 s | 0.4 to 0.6 | 0.3 | <= 0.4 CPU-s, reached |
    """
    m = result["machine"]
    gpu = "" if m["gpu"] == "none" else f", {m['gpu']}"
    sets = ", ".join(m["instruction_sets"]) or "neither avx2 nor bf16"
    kind = "quick run; targets for the full sizes are left out" if result["quick"] else "full run"
    rows = [f"{m['cpu']} ({sets}), {m['cores']} cores{gpu}, torch {m['torch']}; {kind}.", ""]
    rows += ["| measured | median | range | CPU-s | target |", "|---|---|---|---|---|"]
    for line in (line for line in result["measurements"] if "target" in line or not targets):
        spread = f"{line['least']:.3g} to {line['most']:.3g}" if line["repeats"] > 1 else "one run"
        cpu = f"{line['cpu_seconds']:.3g}" if "cpu_seconds" in line else "-"
        target = f"{line['target']}, {'reached' if line['reached'] else 'not reached'}" if "target" in line else "-"
        value = f"{line['median']:.3g} {line['unit']}".rstrip()
        rows.append(f"| {line['name']} | {value} | {spread} | {cpu} | {target} |")
    return "\n".join(rows)


def archive_table(result: dict) -> str:
    """Format the cost of a million photos as a table.

    Args:
        result: from `ssdie.bench.suite.bench`, or read from its JSON file.

    Example:
        >>> sizes = {"1 megapixel": {"width": 1000, "height": 1000, "seconds": 0.36, "codec": 0.09}}
        >>> print(archive_table({"archive": sizes}).splitlines()[-1])
        | 1 megapixel (1000 x 1000) | 0.36 | 100 | 1.6 h | 25 % |
    """
    head = "| photo | CPU-s each | CPU-hours for a million | 64 cores | of that decoding and encoding |"
    rows = [head, "|---|---|---|---|---|"]
    for name, size in result["archive"].items():
        hours = size["seconds"] * 1e6 / 3600
        codec = 100 * size["codec"] / size["seconds"]
        cost = f"{size['seconds']:.2g} | {hours:.0f} | {hours / 64:.2g} h | {codec:.0f} %"
        rows.append(f"| {name} ({size['width']} x {size['height']}) | {cost} |")
    return "\n".join(rows)


def write_scaling(result: dict, page: str | Path) -> None:
    """Write the measured tables of a result into `docs/scaling.md`, between the comments that mark their places.

    Args:
        result: with the sections "archive" and "cluster".
        page: the file to change.

    Raises:
        ValueError: a section is missing from the result, or a mark from the page.
    """
    measurements = [line for line in result["measurements"] if "cluster, " in line["name"]]
    if not measurements or BIG not in result["archive"]:
        raise ValueError("result: expected the sections archive and cluster. Run: ssdie bench --only archive cluster")
    machine, rate = result["machine"], 64 / result["archive"][BIG]["seconds"]
    kind = "a quick run, with few repetitions" if result["quick"] else "a full run"
    costs = (
        f"The CPU-seconds are measured: one thread, {machine['cpu']}, {kind}. All else is computed from them.\n\n"
        f"{archive_table(result)}\n\nComputed as well: 64 cores read and write {rate:.0f} photos of {BIG} a second, "
        f"at 5 MB each {rate * 5 / 1000:.2g} GB/s in each direction."
    )
    text = Path(page).read_text(encoding="utf-8")
    for name, content in {"costs": costs, "cluster": markdown(result | {"measurements": measurements})}.items():
        mark = rf"(<!-- begin {name}\b[^>]*-->\n).*?(<!-- end {name} -->)"
        text, count = re.subn(mark, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{page}: expected one place marked `begin {name}`, found {count}. Restore its comments.")
    write_text(page, text)


def plot(result: dict, path: str | Path) -> Path:
    """Plot CPU time against pixels, and the parts of a training step; write the plot to `path`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    pixels, seconds = ([photo[key] for photo in result["photos"]] for key in ("pixels", "seconds"))
    left.loglog([p / 1e6 for p in pixels], seconds, "o-", label="measured")
    left.loglog([1, 50], [seconds[-1] / 50, seconds[-1]], ":", color="gray", label="proportional to pixels")
    left.set(xlabel="photo (Mpx)", ylabel="CPU seconds, one thread", title="Enhancement of a photo")
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
