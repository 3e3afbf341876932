"""Weight files: round trip, interpolation, files of other programs."""

import pytest
import torch
from safetensors.torch import save_file

from ssdie.networks.generators import MSFF
from ssdie.networks.weights import blend_weights, load_weights, read_header, save_weights


def test_weights_are_saved_and_loaded_with_their_header(tmp_path):
    torch.manual_seed(0)
    network = MSFF(width=8, head="scattering").eval()
    header = {"generator": "msff", "options": {"width": 8, "head": "scattering"}}
    save_weights(tmp_path / "w.safetensors", network, header)
    loaded, dusty = load_weights(tmp_path / "w.safetensors"), torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(dusty), network(dusty)) and not loaded.training
    assert read_header(tmp_path / "w.safetensors")["options"]["width"] == 8


def test_blended_weights_interpolate_two_files(tmp_path):
    paths = [tmp_path / name for name in ("before.safetensors", "after.safetensors", "out.safetensors")]
    for path in paths[:2]:
        save_weights(path, MSFF(width=8), {"generator": "msff", "options": {"width": 8}, "commit": path.stem})
    blend_weights(*paths[:2], 0.25, paths[2])
    before, after, out = (load_weights(path).state_dict() for path in paths)
    assert all(torch.allclose(out[k], 0.75 * before[k] + 0.25 * after[k], atol=1e-6) for k in out if "num" not in k)
    assert read_header(paths[2]) | {"commit": ""} == read_header(paths[0]) | {"commit": "", "blended": 0.25}
    blend_weights(*paths[:2], 0.0, paths[2])
    assert all(torch.equal(v, before[k]) for k, v in load_weights(paths[2]).state_dict().items())
    with pytest.raises(ValueError, match="fraction: expected a number from 0"):
        blend_weights(*paths[:2], 2, paths[2])
    save_weights(paths[1], MSFF(width=4), {"generator": "msff", "options": {"width": 4}})
    with pytest.raises(ValueError, match="expected two files of the same network"):
        blend_weights(*paths[:2], 0.5, paths[2])


def test_weights_of_other_programs_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="without their header"):
        load_weights(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.safetensors")
