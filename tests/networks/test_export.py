"""The exported ONNX file equals the PyTorch network with its pre- and post-processing."""

import sys
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
import torch

from ssdie import enhance
from ssdie.cli import main
from ssdie.enhancement.runtime import load_model
from ssdie.enhancement.tensors import find_maps
from ssdie.networks.dust_classifier import load_dust_classifier
from ssdie.networks.export import Chain, export_onnx, prepare_for_export
from ssdie.networks.generators import MSFF
from ssdie.networks.layers import CrossAttention, attend
from ssdie.networks.weights import save_weights
from ssdie.utils.devices import resolve_precision


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = MSFF(width=8, head="scattering", context=2, smooth=2).eval()
    for parameter in network.parameters():
        if parameter.ndim < 2 or not parameter.any():  # attention and context start as the identity
            torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Weight file of the network, and the ONNX file that `ssdie export` writes from it."""
    folder = tmp_path_factory.mktemp("onnx")
    options = {"width": 8, "head": "scattering", "context": 2, "smooth": 2}
    save_weights(folder / "w.safetensors", model, {"generator": "msff", "options": options})
    assert main(["export", str(folder / "w.onnx"), "--weights", str(folder / "w.safetensors")]) == 0
    return folder / "w.safetensors", folder / "w.onnx"


@pytest.mark.parametrize("size", [(96, 128), (40, 24), (33, 51), (3, 5), (1, 1)])
@torch.inference_mode()
def test_the_exported_chain_equals_torch_at_any_size(model, files, size, generator):
    small = torch.rand(1, 3, *size, generator=generator)
    ours = load_model(files[1])
    for postprocess in (0.0, 1.0):
        correction = ours.correct(small[0].permute(1, 2, 0).numpy(), bool(postprocess))
        chain, dust = Chain(model, load_dust_classifier())(small, torch.tensor(postprocess))
        assert dust.shape == (1,) and abs(dust.item() - correction.dust_score) < 1e-4
        maps, chain = correction.maps, chain[0].numpy()
        direct = find_maps(small, model, bool(postprocess))[0].numpy()
        assert np.abs(maps - chain).max() < 1e-4
        assert np.abs(chain - direct).max() < (1e-4 if resolve_precision("auto") == "fp32" else 0.1)


@torch.inference_mode()
def test_a_chain_without_classifier_has_the_same_maps_as_its_only_output(model, tmp_path, monkeypatch, generator):
    small, exporter = torch.rand(1, 3, 24, 32, generator=generator), Mock(side_effect=InterruptedError)
    maps, _ = Chain(model, load_dust_classifier())(small, torch.ones(()))
    assert torch.equal(Chain(model)(small, torch.ones(())), maps)
    monkeypatch.setattr("torch.onnx.export", exporter)
    with pytest.raises(InterruptedError):
        export_onnx(model, tmp_path / "old.onnx")
    assert exporter.call_args.kwargs["output_names"] == ["maps"] and exporter.call_args.args[0].classifier is None
    assert not any(tmp_path.iterdir())


def test_a_file_without_dust_score_gives_the_full_correction(files, tmp_path):
    """Files of earlier releases have no dust score."""
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    program = onnx.load(files[1])
    assert program.graph.output.pop().name == "dust"
    onnx.save(program, tmp_path / "old.onnx")
    old = load_model(tmp_path / "old.onnx")
    assert old.correct(np.float32(photo / 255)).dust_score is None
    enhanced = enhance(photo, old)
    assert np.array_equal(enhanced, enhance(photo, old, strength=1.0)) and not np.array_equal(enhanced, photo)


def test_export_does_not_change_the_network(model):
    prepared = prepare_for_export(model)
    assert all(block.attend is attend for block in model.modules() if isinstance(block, CrossAttention))
    assert not any(isinstance(m, torch.nn.ConvTranspose2d) and m.stride == (1, 1) for m in prepared.modules())


def test_the_exported_file_enhances_a_photo_like_the_network(files):
    photo = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    ours, theirs = (enhance(photo, load_model(path), strength=1.0) for path in files)
    assert not np.array_equal(theirs, photo)
    assert np.abs(ours.astype(int) - theirs).mean() < 2  # of 255: torch may use bfloat16


def test_wrong_files_are_refused(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"expected a name that ends in .onnx"):
        export_onnx(model, tmp_path / "msff.pt")
    with pytest.raises(FileNotFoundError, match="ssdie export"):
        load_model(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match="text.onnx: expected a file that `ssdie export` wrote"):
        load_model(tmp_path / "text.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs onnxscript. Install it with: pip install "ssdie\[train\]"'):
        export_onnx(model, tmp_path / "msff.onnx")
