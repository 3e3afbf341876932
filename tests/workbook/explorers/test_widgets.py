"""Parts shared by the explorers: charts, encoded images, display with and without widgets."""

import asyncio
import io

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.evaluation.metrics import color_cast
from ssdie.workbook.explorers import charts
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.dust import DustExplorer


def test_panels_display_figures_non_interactively_and_widgets_otherwise(scene, tmp_path, monkeypatch):
    panel = DustExplorer({"one": scene}, tmp_path)
    assert panel._repr_mimebundle_()["image/png"].startswith(b"\x89PNG")
    monkeypatch.delenv(panels.STATIC)
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()


def test_mean_color_gives_the_cast(scene):
    _, a, b = charts.mean_color(scene[0])
    assert np.hypot(a, b) == pytest.approx(color_cast(scene[0][None]).item())


def test_cast_is_drawn_at_its_coordinates():
    drawn = charts.draw_cast((50.0, 0.0, 0.0), (50.0, 30.0, 999.0), ("<b>", "after"))
    assert 'cx="75.0" cy="75.0" r="4.5"' in drawn and 'cx="108.0" cy="9.0"' in drawn  # beyond the limit: at the border
    assert "&lt;b&gt;" in drawn


def test_histogram_has_its_peak_at_the_value_of_a_flat_channel():
    picture = torch.stack([torch.full((8, 8), v) for v in (0.0, 0.5, 1.0)])
    red, green, blue = (line.split('"')[1].split() for line in charts.draw_histogram(picture).split("<polyline ")[1:])
    peaks = [min(range(64), key=lambda k, line=line: float(line[k].split(",")[1])) for line in (red, green, blue)]
    assert peaks == [0, 31, 63]


def test_an_encoded_picture_decodes_to_its_values():
    decoded = np.asarray(Image.open(io.BytesIO(panels.encode(torch.full((1, 16, 24), 0.25)))))
    assert decoded.shape == (16, 24, 3) and abs(int(decoded[0, 0, 0]) - 64) <= 1


def test_a_debounced_action_runs_once_after_a_pause(monkeypatch):
    monkeypatch.delenv(panels.STATIC, raising=False)
    ran = []
    debounced = panels.after_pause(lambda: ran.append("ran"), 0.05)

    async def move_a_slider():
        for _ in range(5):
            debounced()
            await asyncio.sleep(0.001)
        early = list(ran)
        await asyncio.sleep(0.2)
        return early

    assert asyncio.run(move_a_slider()) == [] and ran == ["ran"]
    debounced()  # without an event loop it runs at once
    assert ran == ["ran", "ran"]
