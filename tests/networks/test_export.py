"""The network as an ONNX file is the network."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.cli import main
from ssdie.enhancement.runtime import load_model
from ssdie.networks.export import export_onnx
from ssdie.networks.generators import MSFF
from ssdie.networks.layers import CrossAttention, attend
from ssdie.networks.weights import save_weights


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = MSFF(width=8, head="scattering", context=2, smooth=2).eval()
    for parameter in network.parameters():
        if parameter.ndim < 2 or not parameter.any():  # attention and context begin as if they were not there
            torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("onnx") / "msff.onnx")


@pytest.mark.parametrize("size", [(96, 128), (40, 24), (33, 51), (3, 5)])
@torch.inference_mode()
def test_onnx_runtime_gives_what_torch_gives(model, exported, size, generator):
    photos = torch.rand(2, 3, *size, generator=generator)
    assert (load_model(exported)(photos) - model(photos)).abs().max() < 1e-4


def test_the_network_is_left_as_it_was(model, exported):
    assert all(block.attend is attend for block in model.modules() if isinstance(block, CrossAttention))


def test_from_the_command_line(model, tmp_path, capsys):
    weights, onnx = tmp_path / "w.safetensors", tmp_path / "w.onnx"
    options = {"width": 8, "head": "scattering", "context": 2, "smooth": 2}
    save_weights(weights, model, {"generator": "msff", "options": options})
    assert main(["export", str(onnx), "--weights", str(weights)]) == 0 and str(onnx) in capsys.readouterr().out
    photo = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    for name in (weights, onnx):
        out = str(tmp_path / name.suffix[1:])
        assert main(["enhance", str(tmp_path / "photo.png"), "-o", out, "--weights", str(name)]) == 0
    ours, theirs = (np.asarray(Image.open(tmp_path / kind / "photo.png")) for kind in ("safetensors", "onnx"))
    assert not np.array_equal(theirs, photo)
    assert np.abs(ours.astype(int) - theirs).mean() < 2  # of 255: torch may take bfloat16


def test_wrong_files_are_told(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"does not end in .onnx"):
        export_onnx(model, tmp_path / "msff.pt")
    with pytest.raises(FileNotFoundError, match="ssdie export"):
        load_model(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match="export it again"):
        load_model(tmp_path / "text.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"ssdie\[onnx\]"):
        load_model(tmp_path / "text.onnx")
