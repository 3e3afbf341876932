"""A step of semi-supervised training against the published one: time by part, losses, memory."""

import statistics

from ssdie.bench_tasks import make_fast_step, make_published_step
from ssdie.devices import fast_bfloat16
from ssdie.measure import count_operations, figure, run_child

KINDS = ("published", "float32", "bfloat16")  # of a step
ROUNDS = 3
BATCH = {"unet": 8, "msff": 2}  # the published step of MSFF holds every matrix of attention: 5 GB for a picture
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}  # relative, of a loss


def measure_steps(result: dict, quick: bool) -> None:
    """The semi-supervised step, K = 5, against the published one: time by part, losses, memory.

    Each runs in its own process. They take turns, and a ratio is that of one round: a machine that others use too is
    not always equally fast. The goal in speed is for the precision that the processor is made for.
    """
    base, add, parts = run_child("nothing()")["peak"], result["figures"].append, result["parts"]
    goals = {"bfloat16" if fast_bfloat16() else "float32": (">=", 4)}
    for name in BATCH:
        batch, size = (1, 128) if quick else (BATCH[name], 256)
        operations = [count_operations(make(name, 1, size)) for make in (make_published_step, make_fast_step)]
        fewer = operations[0] / operations[1]
        add(figure(f"step of {name}, operations of the published one against ours", fewer, "x"))
        rounds = [
            {kind: run_child(f'time_step("{kind}", "{name}", {batch}, {size})') for kind in KINDS}
            for _ in range(1 if quick else ROUNDS)
        ]
        seconds = {kind: [found[kind]["seconds"] for found in rounds] for kind in KINDS}
        peaks = {kind: statistics.median(found[kind]["peak"] for found in rounds) - base for kind in KINDS}
        for kind in KINDS:
            several = [found[kind]["parts"] for found in rounds]
            parts[f"{name}, {kind}"] = {k: statistics.median(one[k] for one in several) for k in several[0]}
        about = {"batch": batch, "size": size, "published_seconds": seconds["published"]}
        pictures = f"{batch} picture{'s' if batch > 1 else ''} of {size} px"
        terms = rounds[0]["published"]["terms"]
        for precision, tolerance in TOLERANCE.items():
            label = f"step of {name}, {precision}"
            gain = fewer * result["ceiling"][precision] / result["ceiling"]["float32"]
            add(figure(f"{label}, what fewer operations and the ceilings give", gain, "x"))
            times = [found["published"]["seconds"] / found[precision]["seconds"] for found in rounds]
            told = about | {"seconds": seconds[precision]}
            add(figure(f"{label}, {pictures}, against the published step", times, "x", goals.get(precision), **told))
            share = [100 * batch * operations[1] / s / result["ceiling"][precision] for s in seconds[precision]]
            add(figure(f"{label}, share of the {precision} ceiling", share, "%"))
            ours = rounds[0][precision]["terms"]
            worst = max(abs(ours[k] - v) / abs(v) for k, v in terms.items())
            add(figure(f"{label}, largest relative difference of a loss", worst, "", ("<=", tolerance)))
            held = peaks[precision] / peaks["published"]
            add(figure(f"{label}, memory against the published step", held, "x", ("<=", 0.5), bytes=peaks[precision]))
        parted = [{kind: found[kind]["parts"]["discriminator step"] for kind in KINDS} for found in rounds]
        times = [one["published"] / one["float32"] for one in parted]
        goal = (">=", 1.9) if name == "unet" else None
        add(figure(f"discriminator step of {name}, float32, against the published one", times, "x", goal))


def measure_batchnorm(result: dict, quick: bool) -> None:
    """BatchNorm sees the K copies together, where the published step shows it one by one; all else is equal."""
    apart, together = (make("msff", 2, 64)(mode="batchnorm") for make in (make_published_step, make_fast_step))
    changes = {term: 100 * abs(together[term] - value) / abs(value) for term, value in apart.items()}
    judged, label = changes.pop("discriminator"), "msff, copies in one batch: BatchNorm changes"
    result["figures"].append(figure(f"{label} a term of the generator by at most", max(changes.values()), "%"))
    result["figures"].append(figure(f"{label} the term of the discriminator by", judged, "%"))
