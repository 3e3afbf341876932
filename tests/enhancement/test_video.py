"""Videos: every frame is corrected, and the correction does not flicker."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from videos import picture_at, psnr, read_frames, write_video

from ssdie.enhancement.correction import IDENTITY, Correction, apply_correction
from ssdie.enhancement.folder import enhance_files
from ssdie.enhancement.planes import apply_to_planes, downsample_planes, to_yuv_maps, yuv_to_rgb_matrix
from ssdie.enhancement.runtime import load_model
from ssdie.enhancement.smoothing import Smoother, structure
from ssdie.enhancement.video import enhance_video, prefetch


class Gain:
    """A stub network that multiplies colours by each of `gains` in turn."""

    def __init__(self, *gains: float):
        self.gains, self.calls, self.sizes = gains, 0, set()

    def correct(self, small, postprocess=True):
        gain = self.gains[self.calls % len(self.gains)]
        self.calls += 1
        self.sizes.add(small.shape)
        return Correction(np.tile((gain * IDENTITY)[:, None, None], (1, *small.shape[:2])).astype(np.float32))


def small_at(t: int, shade: float = 0.0) -> np.ndarray:
    """A downsampled frame, the input of the smoother."""
    return (picture_at(t, (24, 32)) / 255 + shade).astype(np.float32)


def run(model, smalls, memory=8.0, every=1) -> list[np.ndarray]:
    """Gain maps of each frame, (h, w)."""
    smoother = Smoother(model, memory, every)
    return [smoother.follow(small).maps[0] for small in smalls]


def test_smoothed_correction_flickers_less_than_frame_by_frame():
    smalls = [small_at(0)] * 40
    unsmoothed, smoothed = run(Gain(1.2, 0.8), smalls, memory=0), run(Gain(1.2, 0.8), smalls)
    assert np.var([maps.mean() for maps in unsmoothed]) == pytest.approx(0.04, rel=0.01)
    assert np.var([maps.mean() for maps in smoothed[20:]]) < 0.0025


def test_network_runs_every_nth_frame_and_after_a_cut():
    model = Gain(1.0)
    run(model, [small_at(0)] * 10, every=5)
    assert model.calls == 2
    run(model, [small_at(0)] * 3 + [small_at(0, 0.3)] * 3, every=5)
    assert model.calls == 4


def test_a_cut_resets_the_smoothing():
    maps = run(Gain(1.2, 0.8), [small_at(0), small_at(0, 0.3)], memory=1000.0)
    assert maps[1] == pytest.approx(np.full((24, 32), 0.8))


def test_new_content_takes_the_newest_correction():
    smalls = [small_at(0)] * 2
    smalls[1] = smalls[1].copy()
    smalls[1][:, 16:] += 0.15  # the right half changes
    maps = run(Gain(1.2, 0.8), smalls, memory=1000.0)[1]
    assert maps[:, -5:] == pytest.approx(np.full((24, 5), 0.8), abs=0.02)
    assert maps[:, :5] == pytest.approx(np.full((24, 5), 1.2), abs=0.02)


def test_black_frames_are_not_changed_and_the_correction_sets_in_gradually_in_fades():
    scene = small_at(0)
    model = Gain(1.5)
    fade = [scene * k / 24 for k in range(25)]
    smalls = [scene * 0] * 3 + fade + [scene] * 20 + fade[::-1] + [scene * 0] * 3
    gains = np.array([maps.mean() for maps in run(model, smalls)])
    assert (gains[:27] == 1).all() and (gains[-8:] == 1).all()
    assert gains[44:48] == pytest.approx(np.full(4, 1.5), abs=0.01)
    assert np.abs(np.diff(gains)).max() < 0.15
    for flat in (0.0, 0.5, 1.0):
        assert structure(np.full((24, 32, 3), flat, np.float32)) == 0


def test_every_below_one_is_refused():
    with pytest.raises(ValueError, match="every: expected at least 1"):
        Smoother(Gain(1.0), 1.0, every=0)


@pytest.mark.parametrize("matrix, bits", [(1, 8), (6, 8), (9, 10)])
def test_maps_of_yuv_planes_agree_with_those_of_rgb(matrix, bits):
    rng = np.random.default_rng(0)
    maps = Correction.identity(6, 8).maps + rng.normal(0, 0.03, (12, 1, 1)).astype(np.float32)
    correction = Correction(maps)
    to_rgb, offset = yuv_to_rgb_matrix(matrix, bits)
    colors = rng.uniform(0.2, 0.8, (24, 32, 3))
    yuv = np.rint(colors @ np.linalg.inv(to_rgb).T + offset).astype(np.uint8 if bits == 8 else np.uint16)
    planes = tuple(np.repeat(np.repeat(yuv[..., k], 1 + (k == 0), 0), 1 + (k == 0), 1) for k in range(3))
    out = tuple(np.empty_like(plane) for plane in planes)
    flat = tuple(np.full_like(plane, plane[0, 0]) for plane in planes)
    apply_to_planes(flat, to_yuv_maps(correction, matrix, bits), out, bits)
    pixel = ((np.array([plane[0, 0] for plane in flat]) - offset) @ to_rgb.T).astype(np.float32)
    expected = apply_correction(pixel[None, None], correction)[0, 0]
    got = (np.array([plane[5, 7] for plane in out]) - offset) @ to_rgb.T
    assert np.abs(got - expected).max() * 255 < 1.5
    apply_to_planes(planes, to_yuv_maps(Correction.identity(6, 8), matrix, bits), out, bits)
    assert all(np.array_equal(a, b) for a, b in zip(planes, out, strict=True))  # the identity is exact
    small = downsample_planes(planes, (12, 16), matrix, bits)
    assert np.abs(small.mean((0, 1)) - colors.mean((0, 1))).max() < 0.01


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_each_frame_of_a_file_is_corrected(tmp_path, suffix):
    source = write_video(tmp_path / f"a{suffix}", [picture_at(t) for t in range(12)])
    model = Gain(0.8)
    target = tmp_path / "out" / f"a{suffix}"
    assert enhance_video(source, target, model, every=4, working_size=32, progress=False) == []
    before, after = read_frames(source), read_frames(target)
    assert [frame.time for frame in before] == [frame.time for frame in after]
    for first, second in zip(before, after, strict=True):
        assert psnr(16 + 0.8 * (first.planes[0] - 16.0), second.planes[0]) > 38
        assert psnr(128 + 0.8 * (first.planes[2] - 128.0), second.planes[2]) > 38
    assert (model.calls, model.sizes) == (3, {(24, 32, 3)})
    assert [path.name for path in target.parent.iterdir()] == [target.name]  # no temporary file is left


def test_two_videos_in_one_run_keep_their_own_frames(tmp_path):
    """One is progressive and red, the other interlaced and green; both are enhanced twice, concurrently."""
    options = {"flags": "+ilme+ildct"}
    red = write_video(tmp_path / "red.mp4", [picture_at(t, tint=(1, 0.1, 0.1)) for t in range(8)])
    green = write_video(tmp_path / "green.mp4", [picture_at(t, tint=(0.1, 1, 0.1)) for t in range(8)], options=options)
    model, jobs = Gain(0.9), []
    for run_index in range(2):
        for source in (red, green):
            target = tmp_path / f"{source.stem}-{run_index}.mp4"
            jobs.append(
                threading.Thread(target=enhance_video, args=(source, target, model), kwargs={"progress": False})
            )
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    for name, lowest, highest in (("red", 160, 255), ("green", 0, 100)):
        first, second = (read_frames(tmp_path / f"{name}-{index}.mp4") for index in range(2))
        assert len(first) == len(second) == 8
        for a, b in zip(first, second, strict=True):
            assert lowest < a.planes[2].mean() < highest
            assert psnr(a.planes[0], b.planes[0]) > 45


def test_black_bars_are_unchanged_and_the_picture_between_them_is_corrected_as_without_bars(tmp_path):
    framed = []
    for t in range(8):
        framed.append(np.zeros((96, 160, 3), np.uint8))
        framed[-1][:, 16:144] = picture_at(t)
    model = Gain(0.7)
    target = tmp_path / "b.mp4"
    enhance_video(write_video(tmp_path / "a.mp4", framed), target, model, progress=False)
    luma = read_frames(target)[4].planes[0]
    assert np.abs(luma[:, :14] - 16.0).max() <= 2 and np.abs(luma[:, 146:] - 16.0).max() <= 2
    whole = tmp_path / "d.mp4"
    enhance_video(write_video(tmp_path / "c.mp4", [p[:, 16:144] for p in framed]), whole, model, progress=False)
    assert psnr(luma[:, 20:140], read_frames(whole)[4].planes[0][:, 4:124]) > 38
    assert model.sizes == {(96, 128, 3)}


def test_black_and_white_video_stays_black_and_white(tmp_path):
    class Tint(Gain):
        def correct(self, small, postprocess=True):
            maps = np.tile(IDENTITY[:, None, None], (1, *small.shape[:2]))
            maps[9] += 0.2
            return Correction(maps)

    source = write_video(tmp_path / "a.mp4", [picture_at(t, tint=(1, 1, 1)) for t in range(4)])
    enhance_video(source, tmp_path / "b.mp4", Tint(1.0), progress=False)
    frame = read_frames(tmp_path / "b.mp4")[2]
    assert np.abs(frame.planes[2] - 128.0).max() <= 1
    assert frame.planes[0].mean() > read_frames(source)[2].planes[0].mean() + 5


def test_failure_and_interruption_leave_no_file(tmp_path):
    source = write_video(tmp_path / "a.mkv", [picture_at(t) for t in range(30)])
    target = tmp_path / "out" / "a.mkv"

    class Interrupt(Gain):
        def correct(self, small, postprocess=True):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().correct(small, postprocess)

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        enhance_video(source, target, Interrupt(1.0), progress=False)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(InterruptedError):
        enhance_video(source, target, Gain(1.0), progress=False, cancelled=cancelled)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(ValueError, match="breaks off or is damaged after"):
        enhance_video(source, target, Gain(1.0), progress=False)
    assert list(target.parent.iterdir()) == []
    assert threading.active_count() == threads


def test_ctrl_c_stops_a_video_of_a_folder_run_between_two_frames(tmp_path):
    source = write_video(tmp_path / "a.mp4", [picture_at(t) for t in range(100)])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Interrupt(Gain):
        digest = "gain"

        def correct(self, small, postprocess=True):
            if self.calls == 2:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05 * (self.calls >= 2))  # the main thread has time to react
            return super().correct(small, postprocess)

    model, threads = Interrupt(0.9), threading.active_count()
    try:
        with pytest.raises(KeyboardInterrupt):
            enhance_files([source], tmp_path / "out", model, every=1, working_size=32, progress=False)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert model.calls < 90
    assert not list((tmp_path / "out").rglob("*.mp4"))
    assert threading.active_count() == threads


def test_errors_of_a_thread_reach_the_caller():
    def fail():
        yield 1
        raise OSError("disk")

    items = prefetch(fail(), 2)
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)


@pytest.mark.parametrize(
    "settings, name", [({"strength": 2}, "strength"), ({"every": 0}, "every"), ({"working_size": 0}, "working_size")]
)
def test_settings_out_of_range_are_refused(tmp_path, settings, name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        enhance_video(tmp_path / "a.mp4", tmp_path / "b.mp4", Gain(1.0), **settings)


def test_released_network_does_not_flicker():
    """A still scene with noise, and a slow pan: mean colour from frame to frame."""
    model = load_model()
    rng = np.random.default_rng(0)
    scene = picture_at(0, (72, 152), (0.9, 0.7, 0.5)) / 510 + 0.3
    for step, limit in ((0, 0.1), (1, 2.0)):
        smoother, change = Smoother(model, 25.0), []
        for t in range(24):
            small = scene[:, step * t : step * t + 128] + rng.normal(0, 0.5 / 255, (72, 128, 3))
            small = small.clip(0, 1).astype(np.float32)  # the noise that remains after downsampling
            change.append((apply_correction(small, smoother.follow(small)) - small).mean((0, 1)) * 255)
        assert np.abs(np.diff(change, axis=0)).max() < limit
