"""Blind comparison: a page with the results of two methods side by side, names hidden, and the count of the answers."""

import base64
import io
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from ssdie.ops.images import fit_long_side, to_display
from ssdie.photo.files import array_to_pil
from ssdie.utils.paths import write_text

LONG_SIDE = 900  # of the images in the page; pixels
CHOICES = ("left", "right", "tie")
PAGE, KEY = "blind.html", "blind_key.json"

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Blind comparison</title>
<style>
  body { margin: 0; font: 16px system-ui, sans-serif; background: #808080; color: #111; text-align: center; }
  main { padding: 12px; }
  .pair { display: flex; gap: 12px; justify-content: center; }
  .pair img { width: 100%; max-height: 68vh; object-fit: contain; min-width: 0; }
  #dusty { height: 14vh; }
  button { font: inherit; padding: 8px 20px; margin: 8px 4px; }
</style>
<main>
  <p id="progress" aria-live="polite"></p>
  <div id="question">
    <div class="pair"><img id="left" alt="left result"><img id="right" alt="right result"></div>
    <p>Which result looks better?<br>
      <button data-choice="left">Left (&larr;)</button>
      <button data-choice="tie">No difference (&darr;)</button>
      <button data-choice="right">Right (&rarr;)</button>
      <button id="back">Back</button></p>
    <img id="dusty" alt="photo before enhancement">
  </div>
  <p id="end" hidden>Done. <button id="save">Download the answers</button></p>
</main>
<script>
  const data = DATA;
  const answers = [];
  const get = id => document.getElementById(id);
  function show() {
    const n = answers.length, done = n === data.pairs.length;
    get("progress").textContent = done ? "" : `Pair ${n + 1} of ${data.pairs.length}`;
    get("question").hidden = done;
    get("end").hidden = !done;
    get("back").disabled = n === 0;
    if (!done) for (const side of ["left", "right", "dusty"]) get(side).src = data.pairs[n][side];
  }
  function answer(choice) {
    if (answers.length < data.pairs.length) { answers.push(choice); show(); }
  }
  document.querySelectorAll("[data-choice]").forEach(b => b.addEventListener("click", () => answer(b.dataset.choice)));
  document.addEventListener("keydown", event => {
    const choice = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" }[event.key];
    if (choice) { event.preventDefault(); answer(choice); }
  });
  get("back").addEventListener("click", () => { answers.pop(); show(); });
  get("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ id: data.id, answers })], { type: "application/json" }));
    link.download = "answers.json";
    link.click();
  });
  show();
</script>
</html>
"""


def write_blind_page(
    examples: Iterable[tuple[str, torch.Tensor]],
    methods: dict[str, Callable[[torch.Tensor, str], torch.Tensor]],
    folder: str | Path,
    seed: int | None = None,
) -> Path:
    """Write a page that shows the results of two methods in random order, on random sides, without names.

    Args:
        examples: name and dusty image (1, 3, H, W) in [0, 1].
        methods: exactly two functions of (dusty, name), by name.
        folder: for `blind.html`, which contains the images, and `blind_key.json`, which says which method was shown on
            which side; viewers must not see the key.
        seed: of order and sides; None draws it.

    Returns:
        Path of the page.

    Raises:
        ValueError: not two methods, or no image.
    """
    if len(methods) != 2:
        raise ValueError(f"blind: expected two methods, got {len(methods)}. Name two.")
    random = np.random.default_rng(seed)
    names, pairs, key = list(methods), [], []
    examples = list(examples)
    if not examples:
        raise ValueError("blind: expected at least one image, got none.")
    for index in random.permutation(len(examples)):
        name, dusty = examples[index]
        left = int(random.integers(2))
        with torch.inference_mode():
            results = [methods[names[side]](dusty, name) for side in (left, 1 - left)]
        pairs.append(dict(zip(("left", "right", "dusty"), map(_data_uri, (*results, dusty)), strict=True)))
        key.append({"picture": name, "left": names[left], "right": names[1 - left]})
    number = uuid.uuid4().hex
    page = TEMPLATE.replace("DATA", json.dumps({"id": number, "pairs": pairs}), 1)
    write_text(Path(folder) / PAGE, page)
    write_text(Path(folder) / KEY, json.dumps({"id": number, "methods": names, "pairs": key}, indent=1) + "\n")
    return Path(folder) / PAGE


def _data_uri(image: torch.Tensor) -> str:
    """Encode (1, 3, H, W) as JPEG without metadata, in a data URI."""
    file = io.BytesIO()
    pixels = array_to_pil(to_display(fit_long_side(image, LONG_SIDE)))
    pixels.save(file, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def count_answers(answers: Sequence[str | Path], key: str | Path) -> pd.DataFrame:
    """Count the wins of both methods in the answers to a page of `write_blind_page`.

    Args:
        answers: files that the page let the viewers download, one for each viewer.
        key: the page's `blind_key.json`.

    Returns:
        A row per method: method, wins, ties, answers, share (fraction of the decided answers won), low, high (95 %
        Wilson interval; it assumes independent answers, so with several viewers per image it is somewhat too narrow).

    Raises:
        ValueError: a file does not belong to the page, or holds other answers than the page gives.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    known = json.loads(Path(key).read_text(encoding="utf-8"))
    wins, ties = dict.fromkeys(known["methods"], 0), 0
    for path in answers:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(given, dict) or given.get("id") != known["id"]:
            raise ValueError(f"{path}: expected answers to the page of {key}, got those of another page.")
        choices = given.get("answers")
        if not isinstance(choices, list) or len(choices) > len(known["pairs"]) or not set(choices) <= set(CHOICES):
            raise ValueError(f"{path}: expected at most {len(known['pairs'])} answers out of {', '.join(CHOICES)}.")
        for choice, pair in zip(choices, known["pairs"], strict=False):
            if choice == "tie":
                ties += 1
            else:
                wins[pair[choice]] += 1
    decided = sum(wins.values())
    rows = []
    for method, count in wins.items():
        row = {"method": method, "wins": count, "ties": ties, "answers": decided + ties}
        if decided:
            interval = binomtest(count, decided).proportion_ci(method="wilson")
            row |= {"share": count / decided, "low": interval.low, "high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=["method", "wins", "ties", "answers", "share", "low", "high"])
