"""Dust score and automatic strength: clear photos are unchanged, dusty ones are repaired, no video flickers."""

import functools

import numpy as np
import pytest
import torch
from photos import StubModel, photo, photo_folder
from videos import picture_at, write_video

from ssdie import enhance
from ssdie.batch.journal import journal_path, read_journal
from ssdie.data.sample import read_pair
from ssdie.enhancement.correction import Correction, downsample
from ssdie.enhancement.folder import enhance_files
from ssdie.enhancement.runtime import load_model
from ssdie.enhancement.smoothing import Smoother
from ssdie.enhancement.strength import HIGH, LOW, find_strength
from ssdie.enhancement.video import enhance_video
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import sample_dust


class ScoredModel(StubModel):
    """A network that halves the red channel and returns `scores` in turn."""

    def __init__(self, *scores: float):
        self.scores, self.calls = scores, 0

    def correct(self, small, postprocess=True):
        self.calls += 1
        return Correction(super().correct(small).maps, self.scores[(self.calls - 1) % len(self.scores)])


@functools.cache
def sample(density: float = 0.0) -> np.ndarray:
    """A photo of the sample that no network was trained on, clear or under dust; (240, 320, 3) uint8."""
    clear, depth = read_pair("photo_china", (240, 320))
    if density:
        dust = sample_dust(1, torch.Generator().manual_seed(1), density=density)
        clear = add_dust(clear[None], depth[None], dust).dusty[0]
    return (clear.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean difference in levels."""
    return np.abs(first.astype(float) - second).mean()


def test_strength_rises_with_the_score_from_zero_to_one():
    strengths = [find_strength("auto", score) for score in np.linspace(0, 1, 101)]
    assert (np.diff(strengths) >= 0).all() and np.diff(strengths).max() < 0.1  # smooth
    assert find_strength("auto", LOW) == 0 and find_strength("auto", HIGH) == 1
    assert find_strength("auto", (LOW + HIGH) / 2) == pytest.approx(0.5)
    assert find_strength("auto", None) == 1 and find_strength(0.3, 0.0) == 0.3


@pytest.mark.parametrize("strength", ["full", -0.1, float("nan")])
def test_wrong_strength_is_refused(strength):
    with pytest.raises(ValueError, match='strength: expected "auto" or a number'):
        enhance(np.zeros((4, 4, 3)), StubModel(), strength=strength)


# The released networks ---------------------------------------------------------------------------------------------


def test_the_score_rises_with_the_density_of_the_dust():
    model = load_model()
    scores = [model.correct(downsample(sample(d), 128)).dust_score for d in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)]
    assert (np.diff(scores) > -0.02).all()
    assert find_strength("auto", scores[0]) < 0.05 and scores[-1] > 0.9


def test_a_clear_photo_is_unchanged_and_a_dusty_one_gets_full_strength():
    assert difference(enhance(sample()), sample()) < 1
    dusty = sample(4.0)
    assert np.array_equal(enhance(dusty), enhance(dusty, strength=1.0)) and difference(enhance(dusty), dusty) > 10


def test_every_photo_of_a_tensor_has_its_own_strength():
    batch = torch.from_numpy(np.stack((sample(), sample(4.0)))).permute(0, 3, 1, 2) / 255
    enhanced, full = enhance(batch), enhance(batch, strength=1.0)
    assert (enhanced[0] - batch[0]).abs().mean() < 1 / 255 < (full[0] - batch[0]).abs().mean()
    assert torch.equal(enhanced[1], full[1])


# Files -------------------------------------------------------------------------------------------------------------


def test_photo_files_have_a_score(tmp_path):
    photo().save(tmp_path / "a.png")
    enhanced = enhance(tmp_path / "a.png", ScoredModel(0.25))
    assert enhanced.dust_score == 0.25 and enhance(tmp_path / "a.png", StubModel()).dust_score is None
    clear = enhance(tmp_path / "a.png", ScoredModel(0.0))
    assert np.array_equal(clear.array, np.asarray(photo()))


def test_the_journal_has_the_scores_of_photos_and_videos(tmp_path):
    folder = photo_folder(tmp_path / "photos", ("a.png",))
    write_video(folder / "b.mp4", [picture_at(t) for t in range(4)])
    options = {"model": ScoredModel(0.25, 0.75), "every": 2, "workers": 1, "progress": False}
    assert enhance_files([folder], tmp_path / "out", **options) == []
    scores = {row.output: row.dust_score for row in read_journal(journal_path(tmp_path / "out")).rows()}
    assert scores == {"a.png": 0.25, "b.mp4": pytest.approx(0.5)}
    assert enhance_files([folder / "a.png"], tmp_path / "old", model=StubModel(), progress=False) == []
    assert [row.dust_score for row in read_journal(journal_path(tmp_path / "old")).rows()] == [None]


# Videos ------------------------------------------------------------------------------------------------------------


def strengths(model, smalls, **settings) -> np.ndarray:
    """Strength of the correction of each frame, from the red coefficient: 1 at strength 0, 0.5 at strength 1."""
    smoother = Smoother(model, memory=10.0, every=1, **settings)
    return np.array([2 * (1 - smoother.follow(small).maps[0].mean()) for small in smalls])


def small_at(shade: float = 0.0) -> np.ndarray:
    return (picture_at(0, (24, 32)) / 255 + shade).astype(np.float32)


def test_strength_of_a_video_follows_the_score_smoothly():
    flickering = strengths(ScoredModel(0.0, 1.0), [small_at()] * 60)
    assert np.abs(np.diff(flickering[1:])).max() < 0.1 and np.ptp(flickering[40:]) < 0.1
    rising = strengths(ScoredModel(*[0.0] * 5, *[1.0] * 55), [small_at()] * 60)
    assert rising[4] == 0 and (np.diff(rising[4:]) > 0).all() and np.diff(rising).max() < 0.1 and rising[-1] > 0.99


def test_a_cut_switches_to_the_strength_of_the_new_scene():
    assert strengths(ScoredModel(1.0, 0.0), [small_at(), small_at(0.3)]) == pytest.approx([1.0, 0.0])
    fixed = strengths(ScoredModel(0.0), [small_at(), small_at(0.3)], strength=0.5)
    assert fixed == pytest.approx([0.5, 0.5])  # a fixed strength does not depend on the score


def test_a_clear_video_is_unchanged(tmp_path):
    source, scores = write_video(tmp_path / "a.mp4", [picture_at(t) for t in range(6)]), []
    for name, score in (("auto", 0.0), ("none", None)):
        enhance_video(source, tmp_path / f"{name}.mp4", ScoredModel(score), progress=False, scores=scores)
    enhance_video(source, tmp_path / "zero.mp4", StubModel(), strength=0, progress=False)
    assert scores == [0.0]
    contents = [(tmp_path / f"{name}.mp4").read_bytes() for name in ("auto", "zero", "none")]
    assert contents[0] == contents[1] != contents[2]
