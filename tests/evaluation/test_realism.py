"""Realism of synthetic dust: AUC of a classifier that separates real from synthetic photos."""

import pytest
import torch

from ssdie.evaluation.realism import compare_recipes, describe, realism_auc
from ssdie.synthesis.recipes import RECIPES


@pytest.fixture(scope="module")
def noise():
    random = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, 24, 24, generator=random) for _ in range(24)]


def test_photos_of_one_kind_are_not_separable_and_of_two_kinds_are(noise):
    assert 0.2 < realism_auc(noise[::2], noise[1::2])["auc"] < 0.8
    tinted = [n * torch.tensor([1.0, 0.8, 0.5]).view(1, 3, 1, 1) for n in noise[1::2]]
    assert realism_auc(noise[::2], tinted)["auc"] > 0.99


def test_a_photo_has_25_features(noise):
    for photo in (noise[0], torch.full((1, 3, 24, 24), 0.5)):
        numbers = describe(photo)
        assert numbers.shape == (25,)
    assert torch.isfinite(torch.from_numpy(describe(noise[0]))).all()


def test_too_few_photos_are_an_error(noise):
    with pytest.raises(ValueError, match="at least 10"):
        realism_auc(noise[:3], noise)


def test_all_recipes_are_compared_on_the_embedded_sample(monkeypatch):
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    results = compare_recipes(count=12)
    assert tuple(results) == RECIPES
    assert all(0 <= r["low"] <= r["auc"] <= r["high"] <= 1 for r in results.values())
