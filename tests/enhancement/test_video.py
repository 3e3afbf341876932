"""Videos: every frame comes back at its size, and what the network decides does not flicker."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ssdie.enhancement.video import Smoother, enhance_video
from ssdie.networks.generators import Generator
from ssdie.photo.files import fitted_size

SIZE, FRAMES = (48, 64), 12


class Restless(Generator):
    """A network that is never sure: each call multiplies the picture by another number."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.calls = 0

    def transform(self, x, generator=None):
        self.calls += 1
        gain = 1.2 if self.calls % 2 else 0.8
        return (x + 1) * gain * self.weight - 1


def frame_at(t: int, shade: int = 0) -> torch.Tensor:
    """A ramp with a bright square that moves one pixel a frame."""
    ramp = np.linspace(60, 140, SIZE[1]).astype(np.uint8)
    frame = np.repeat(np.tile(ramp, (SIZE[0], 1))[..., None], 3, 2) + np.uint8(shade)
    frame[20:30, 4 + t : 14 + t] = (200, 150, 90)
    return torch.from_numpy(frame)


def flicker(frames: list[torch.Tensor]) -> float:
    """Variance over time of the mean colour."""
    return torch.stack([f.float().mean((0, 1)) for f in frames]).var(0).mean().item()


def run(every: int, memory: float, frames: list[torch.Tensor]) -> tuple[list[torch.Tensor], int]:
    model = Restless().eval()
    smoother = Smoother(model, memory, every, working_size=64, postprocess=False)
    return [smoother.enhance(f) for f in frames], model.calls


def test_correction_flickers_less_than_frame_by_frame():
    frames = [frame_at(t) for t in range(FRAMES)]
    alone, calls = run(1, 0, frames)
    smoothed, _ = run(1, 8.0, frames)
    assert calls == FRAMES
    assert flicker(smoothed) < flicker(alone) / 4


def test_without_memory_each_frame_is_enhanced_by_itself():
    frames = [frame_at(t) for t in range(4)]
    alone, _ = run(1, 0, frames)
    single, _ = run(1, 0, frames[2:3])  # an odd call, like the third
    assert (alone[2].int() - single[0].int()).abs().max() <= 1


def test_network_looks_every_nth_frame_and_after_a_cut():
    still = [frame_at(0)] * 10
    assert run(5, 8.0, still)[1] == 2
    assert run(5, 8.0, still[:3] + [frame_at(0, shade=90)] * 3)[1] == 2


def test_cut_starts_afresh():
    frames = [frame_at(0)] * 3 + [frame_at(0, shade=90)]
    model = Restless().eval()
    smoother = Smoother(model, 100.0, 1, working_size=64, postprocess=False)
    for frame in frames:
        smoother.enhance(frame)
    assert torch.equal(smoother.current.slope, smoother.newest.slope)


def test_what_moves_leaves_no_trail():
    class Grey(Restless):
        def transform(self, x, generator=None):
            return x.mean(1, keepdim=True).expand_as(x) * self.weight

    frames = [frame_at(3 * t) for t in range(10)]
    smoother = Smoother(Grey().eval(), 1000.0, 1, working_size=64, postprocess=False)
    for frame in frames:
        given = smoother.enhance(frame)
    here = given[20:30, 31:41].float()
    wanted = frames[-1][20:30, 31:41].float().mean(2, keepdim=True)
    before = (frames[-1][20:30, 31:41].float() - wanted).abs().mean()
    assert (here - wanted).abs().mean() < before / 3


def write_video(path: Path, frames: int = FRAMES, rate: float = 12.5) -> bytes:
    """Write frames and give the bytes of the file."""
    codec = {".avi": "MJPG", ".webm": "VP80"}.get(path.suffix, "mp4v")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, SIZE[::-1])
    for t in range(frames):
        writer.write(frame_at(t).numpy()[..., ::-1].copy())
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_file_keeps_frames_size_and_rate(tmp_path, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / "out" / f"in{suffix}"
    write_video(source)
    assert enhance_video(source, target, Restless().eval(), every=3, progress=False) == FRAMES
    reader = cv2.VideoCapture(str(target))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES
    assert abs(reader.get(cv2.CAP_PROP_FPS) - 12.5) < 0.1
    there, frame = reader.read()
    assert there and frame.shape[:2] == SIZE
    red, blue = frame[22:28, 6:12, 2].mean(), frame[22:28, 6:12, 0].mean()
    assert red > blue + 50  # not exchanged
    assert [p.name for p in target.parent.iterdir()] == [target.name]  # nothing left over


def test_no_video_leaves_no_file(tmp_path):
    source = tmp_path / "no.mp4"
    source.write_bytes(b"this is text")
    with pytest.raises(ValueError, match="no frame"):
        enhance_video(source, tmp_path / "out" / "no.mp4", Restless().eval(), progress=False)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".webm"])
def test_video_that_breaks_off_is_refused_and_leaves_no_file(tmp_path, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / "out" / f"in{suffix}"
    whole = write_video(source, 40)
    data = whole.find(b"mdat") if suffix == ".mp4" else len(whole) // 2
    end = whole.find(b"moov") if suffix == ".mp4" else len(whole)  # the list of frames, without which nothing is read
    source.write_bytes(whole[: (data + end) // 2] + bytes(end - (data + end) // 2) + whole[end:])
    with pytest.raises(ValueError, match=r"only \S+ of its \S+ (frames|seconds) could be read, .*; copy it again"):
        enhance_video(source, target, Restless().eval(), progress=False)
    assert list((tmp_path / "out").iterdir()) == []
    if suffix != ".mp4":
        source.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="could be read"):
            enhance_video(source, target, Restless().eval(), progress=False)
    source.write_bytes(whole)
    assert enhance_video(source, target, Restless().eval(), progress=False) == 40


@pytest.mark.parametrize("frames, times", [(1, 1), (2, 10), (30, 10)])
def test_a_nominal_rate_above_the_real_one_is_no_fault(tmp_path, frames, times):
    """A file of 12.5 frames a second that announces 125, as those of variable rate may."""
    whole = write_video(tmp_path / "in.mkv", frames)
    place = whole.find(b"\x23\xe3\x83\x84")  # DefaultDuration of Matroska, nanoseconds
    assert struct.unpack(">I", whole[place + 4 : place + 8]) == (80_000_000,)
    (tmp_path / "in.mkv").write_bytes(whole[: place + 4] + struct.pack(">I", 80_000_000 // times) + whole[place + 8 :])
    reader = cv2.VideoCapture(str(tmp_path / "in.mkv"))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) >= times * frames
    assert enhance_video(tmp_path / "in.mkv", tmp_path / "out.mkv", Restless().eval(), progress=False) == frames


def test_every_must_be_at_least_one():
    with pytest.raises(ValueError, match="at least 1"):
        Smoother(Restless().eval(), 1.0, every=0)


def test_frames_are_seen_at_the_working_size():
    assert fitted_size(SIZE, 32) == (24, 32)
    smoother = Smoother(Restless().eval(), 1.0, working_size=32, postprocess=False)
    assert smoother.enhance(frame_at(0)).shape == (*SIZE, 3)
    assert smoother.current.offset.shape == (3, 24, 32)
