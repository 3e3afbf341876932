"""The released network: both files agree, damage is detected, copies and forked processes work."""

import copy
import hashlib
import os
import pickle
import select
import signal

import numpy as np
import pytest
import torch

from ssdie import enhance
from ssdie.data.sample import read_pair
from ssdie.enhancement import runtime
from ssdie.enhancement.correction import downsample
from ssdie.enhancement.runtime import load_model
from ssdie.enhancement.tensors import TorchModel
from ssdie.evaluation.metrics import psnr
from ssdie.networks.dust_classifier import load_dust_classifier
from ssdie.networks.weights import load_weights, read_header
from ssdie.synthesis import depth as depth_gan
from ssdie.synthesis.dust import add_dust
from ssdie.utils.devices import resolve_precision
from ssdie.utils.paths import WEIGHTS


@pytest.fixture
def pixels(photo) -> np.ndarray:
    return (photo.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize(
    "module, name, load",
    [(runtime, "RELEASED_ONNX", load_model), (depth_gan, "DEPTH_MODEL", depth_gan.load_depth_model)],
)
def test_damaged_released_weights_are_refused(tmp_path, monkeypatch, module, name, load):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"damaged")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  w.safetensors\n")
    monkeypatch.setattr(module, name, path)
    with pytest.raises(ValueError, match="is damaged"):
        load(*(() if load is load_model else (path,)))


def test_the_released_weights_gain_5_db_on_a_synthetic_pair():
    released = WEIGHTS / "msff.safetensors"
    assert released.stat().st_size <= 8_000_000 and read_header(released)["commit"]
    clear, depth = read_pair("scene_100003")
    dusty = add_dust(clear[None], depth[None], "reference", 0).dusty
    before, after = (psnr(image, clear[None]).item() for image in (dusty, enhance(dusty, load_model())))
    assert after - before >= 5


def test_the_released_onnx_file_and_the_released_weights_agree(pixels):
    """Corrections agree to 1e-4 and pixels to one level in float32."""
    torch_model = TorchModel(load_weights(WEIGHTS / "msff.safetensors"), classifier=load_dust_classifier())
    small = downsample(pixels, 128)
    for postprocess in (True, False):
        ours, theirs = (m.correct(small, postprocess) for m in (load_model(), torch_model))
        assert abs(ours.dust_score - theirs.dust_score) < 1e-4
        if resolve_precision("auto") == "fp32":
            assert np.abs(ours.maps - theirs.maps).max() < 1e-4
    levels = enhance(pixels, strength=1.0).astype(int) - enhance(pixels, torch_model, strength=1.0)
    assert np.abs(levels).max() <= (1 if resolve_precision("auto") == "fp32" else 8)


def test_a_model_can_be_copied_and_pickled(pixels):
    model, small = load_model(), downsample(pixels, 64)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.digest == model.digest and np.array_equal(other.correct(small).maps, model.correct(small).maps)


def test_enhancement_works_in_a_forked_process(pixels):
    """ONNX Runtime's threads do not survive a fork, so the child has to create a new session."""
    expected = enhance(pixels, strength=1.0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, hashlib.sha256(enhance(pixels, strength=1.0).tobytes()).digest())
        os._exit(0)
    try:
        ready, _, _ = select.select([reader], [], [], 60)
        assert ready and os.read(reader, 32) == hashlib.sha256(expected.tobytes()).digest()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
