"""VGG features: returned layers, frozen weights, sources of the weights."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models import vgg19

from ssdie.networks.vgg import FeatureNetwork


@pytest.fixture(scope="module")
def features():
    return FeatureNetwork("random")


def test_one_forward_pass_returns_the_layers_of_the_paper(features, picture):
    maps = features(picture)
    assert " ".join(maps) == "relu1_1 relu2_1 relu2_2 relu3_1 relu3_3 relu4_1 relu4_3 relu5_1 relu5_2"
    assert [m.shape[1] for m in maps.values()] == [64, 128, 128, 256, 256, 512, 512, 512, 512]
    assert all(m.min() >= 0 for m in maps.values())


def test_the_network_ends_at_the_deepest_layer_used_and_is_frozen(features):
    assert isinstance(features.layers[-1], torch.nn.ReLU) and len(features.layers) == 28  # relu5_2 of VGG-16
    assert not features.train().training
    assert not any(p.requires_grad for p in features.parameters())


def test_no_feature_map_is_overwritten_by_a_later_layer(features, picture):
    image = picture.clone().requires_grad_()
    maps, x = features(image), (image - features.mean) / features.std
    for index, layer in enumerate(features.layers):
        x = F.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
        if index in features.names:
            pair = maps.pop(features.names[index]), x
            found, expected = (torch.autograd.grad(m.sum(), image, retain_graph=True)[0] for m in pair)
            assert torch.equal(*pair) and torch.equal(found, expected)
    assert not maps


def test_layers_of_vgg_19_have_the_names_of_the_paper(monkeypatch):
    with torch.device("meta"):  # names need no values
        layers = vgg19(weights=None).features
    monkeypatch.setattr(FeatureNetwork, "_load", staticmethod(lambda weights: layers))
    names = set(FeatureNetwork("vgg19").names.values())
    assert names == {*FeatureNetwork.PERCEPTUAL, "relu2_2", "relu3_4", "relu4_4", "relu5_2"}


def test_a_feature_file_is_read_with_either_naming_of_its_weights(features, tmp_path, picture):
    state = {k: v.half() for k, v in features.layers[:26].state_dict().items()}
    save_file(state, tmp_path / "plain.safetensors")
    save_file({f"features.{k}": v for k, v in state.items()}, tmp_path / "named.safetensors")
    first, second = (FeatureNetwork(tmp_path / f"{n}.safetensors") for n in ("plain", "named"))
    assert not any(p.requires_grad for p in first.parameters()) and len(first.layers) == 26  # relu5_1 is the deepest
    maps, same, expected = (network(picture) for network in (first, second, features))
    assert all(torch.equal(maps[k], same[k]) for k in maps)
    assert all((maps[k] - expected[k]).norm() < 0.01 * expected[k].norm() for k in maps)


def test_errors_for_missing_features_name_the_remedy(monkeypatch, tmp_path):
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="SSDIE_DATA"):
        FeatureNetwork("auto")
    with pytest.raises(FileNotFoundError, match="VGG-16 feature file"):
        FeatureNetwork(tmp_path / "none.safetensors")


def test_no_features_are_downloaded_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("SSDIE_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="SSDIE_OFFLINE forbids"):
        FeatureNetwork("vgg19")
