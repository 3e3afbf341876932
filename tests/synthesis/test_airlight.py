import json

import pytest
import torch

from ssdie.ops.images import write_image
from ssdie.synthesis.recipes import AIRLIGHT_FILE, draw_airlight, fit_airlight


def test_the_fit_recovers_the_veil_of_the_photos(tmp_path):
    veil = torch.tensor([0.8, 0.6, 0.3]).view(3, 1, 1)
    for n in range(9):
        shade = 1 - 0.02 * n
        write_image(tmp_path / f"{n}.png", (veil * shade).expand(3, 40, 50).contiguous())
    fitted = fit_airlight(tmp_path, tmp_path / "fit.json")
    colours = torch.tensor(fitted["colours"])
    assert torch.allclose(colours[0], veil.flatten(), atol=0.01)
    assert (tmp_path / "fit.json").is_file()


def test_draws_have_the_spread_of_the_shipped_fit(generator):
    colours = torch.tensor(json.loads(AIRLIGHT_FILE.read_text())["colours"])
    drawn = draw_airlight(5000, generator)
    assert drawn.shape == (5000, 3) and drawn.min() > 0 and drawn.max() < 1
    assert torch.allclose(drawn.median(0).values, colours.median(0).values, atol=0.03)
    assert torch.allclose(drawn.std(0), colours.std(0), rtol=0.35)


def test_too_few_photos_are_refused(tmp_path):
    write_image(tmp_path / "one.png", torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="at least 8"):
        fit_airlight(tmp_path, tmp_path / "fit.json")
