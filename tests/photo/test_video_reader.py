"""Reading videos: every frame is the right one, whatever the codec, and damage is an error that names the time."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from videos import SIZE, picture_at, psnr, read_frames, read_times, write_video

from ssdie.photo.video_container import find_damage
from ssdie.photo.video_reader import Frame, VideoReader

PICTURES = [picture_at(t) for t in range(10)]


def expected_luma(picture: np.ndarray, matrix: int = 6) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(picture).reformat(
        format="yuv444p", dst_colorspace=matrix, dst_color_range="MPEG"
    )
    return frame.to_ndarray()[0]


@pytest.mark.parametrize(
    "codec, suffix, pixels, bits",
    [
        ("libx264", ".mp4", "yuv420p", 8),
        ("libx264", ".mkv", "yuv444p", 8),
        ("libx265", ".mp4", "yuv420p10le", 10),
        ("libsvtav1", ".mp4", "yuv420p", 8),
        ("libvpx-vp9", ".webm", "yuv420p", 8),
        ("mpeg2video", ".mkv", "yuv420p", 8),
        ("prores_ks", ".mov", "yuv422p10le", 10),
        ("mjpeg", ".avi", "yuvj420p", 8),
    ],
)
def test_all_frames_of_each_codec_are_read(tmp_path, codec, suffix, pixels, bits):
    options = {"libvpx-vp9": {"crf": "10", "b": "0", "cpu-used": "8"}, "libsvtav1": {"crf": "10", "preset": "12"}}
    context = {"bit_rate": 8_000_000} if codec in ("mpeg2video", "mjpeg") else {}
    path = write_video(
        tmp_path / f"a{suffix}", PICTURES, codec, pixels=pixels, options=options.get(codec), context=context
    )
    with VideoReader(path) as reader:
        frames = [item for item in reader if isinstance(item, Frame)]
        assert reader.converter.bits == bits
    assert len(frames) == len(PICTURES)
    for frame, picture in zip(frames, PICTURES, strict=True):
        assert psnr(frame.planes[0] / 2 ** (bits - 8), expected_luma(picture)) > 32  # frames differ by 20 dB


def test_variable_frame_rate_is_kept(tmp_path):
    times = [0, 4, 8, 40, 41, 45, 90, 130, 131, 200]
    path = write_video(tmp_path / "a.mp4", PICTURES, times=times)
    assert read_times(path) == pytest.approx([t / 100 for t in times])


@pytest.mark.parametrize("codec, suffix", [("libx264", ".mp4"), ("mpeg2video", ".mkv")])
def test_interlaced_video_is_deinterlaced(tmp_path, codec, suffix):
    fields = [np.roll(picture_at(0), 5 * t, axis=1) for t in range(12)]
    woven = []
    for first, second in zip(fields[::2], fields[1::2], strict=True):
        woven.append(second.copy())
        woven[-1][1::2] = first[1::2]  # the encoders mark the bottom field as the first one
    options = {"flags": "+ilme+ildct"}
    path = write_video(tmp_path / f"a{suffix}", woven, codec, options=options, context={"bit_rate": 8_000_000})
    frames = read_frames(path)
    for frame, picture, comb in zip(frames, fields[::2], woven, strict=True):
        assert psnr(frame.planes[0], expected_luma(picture)) > psnr(expected_luma(comb), expected_luma(picture)) + 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_video_is_read_upright(tmp_path, degrees):
    path = write_video(tmp_path / "a.mp4", PICTURES[:3], rotation=degrees)
    with av.open(str(path)) as container:
        shown = next(container.decode(video=0)).rotation  # counter-clockwise
    expected = np.rot90(expected_luma(PICTURES[0]), shown // 90)
    frame = read_frames(path)[0]
    assert frame.planes[0].shape == expected.shape
    assert psnr(frame.planes[0], expected) > 35


def test_shape_of_pixels_is_read_and_turned_with_the_picture(tmp_path):
    for rotation, aspect in ((0, 4 / 3), (90, 3 / 4)):
        path = write_video(
            tmp_path / "a.mp4", PICTURES[:2], context={"sample_aspect_ratio": Fraction(4, 3)}, rotation=rotation
        )
        with VideoReader(path) as reader:
            assert float(reader.converter.aspect) == pytest.approx(aspect)


def test_default_track_is_read_before_a_first_one_that_is_smaller(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for track, (height, width), flag in zip(tracks, ((48, 64), SIZE), (0, 1), strict=True):
            track.height, track.width, track.pix_fmt, track.disposition = height, width, "yuv420p", flag
        for t in range(5):
            for track in tracks:
                picture = picture_at(t, (track.height, track.width))
                frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p")
                frame.pts = t
                container.mux(track.encode(frame))
        for track in tracks:
            container.mux(track.encode(None))
    with VideoReader(path) as reader:
        assert reader.converter.size == SIZE
        assert sum(isinstance(item, Frame) for item in reader) == 5
        assert "2 video tracks" in reader.notes[0]


def test_later_frames_of_another_size_are_letterboxed(tmp_path):
    parts = [
        write_video(tmp_path / f"{name}.ts", [picture_at(t, size) for t in range(8)])
        for name, size in (("a", (96, 160)), ("b", (160, 96)))
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = read_frames(joined)
    assert len(frames) == 16
    assert np.all(np.diff([frame.time for frame in frames]) > 0)
    last = frames[-1]
    top, bottom, left, right = last.inner
    assert last.planes[0].shape == (96, 160) and (top, bottom) == (0, 96)
    assert abs((right - left) / (bottom - top) - 96 / 160) < 0.02
    assert (last.planes[0][:, :left] == 16).all() and last.planes[0][:, left:right].mean() > 60


def test_trimmed_video_gives_what_its_edit_list_shows(tmp_path):
    whole = write_video(tmp_path / "a.mp4", [picture_at(t) for t in range(20)], options={"bf": "0", "g": "50"})
    trimmed = bytearray(whole.read_bytes())
    place = trimmed.find(b"elst")
    assert place > 0 and struct.unpack(">I", trimmed[place + 8 : place + 12]) == (1,)
    with av.open(str(whole)) as container:
        scale = container.streams.video[0].time_base.denominator
    trimmed[place + 16 : place + 20] = struct.pack(">i", scale * 8 // 25)  # shown from the ninth frame on
    (tmp_path / "b.mp4").write_bytes(trimmed)
    frames = read_frames(tmp_path / "b.mp4")
    assert len(frames) == 12 and frames[0].time == 0
    assert psnr(frames[0].planes[0], expected_luma(picture_at(8))) > 35


@pytest.mark.parametrize(
    "codec, suffix", [("libx264", ".mp4"), ("libx264", ".mkv"), ("libvpx-vp9", ".webm"), ("mjpeg", ".avi")]
)
def test_damaged_video_is_an_error_that_names_the_time(tmp_path, codec, suffix):
    path = write_video(
        tmp_path / f"a{suffix}",
        [picture_at(t) for t in range(30)],
        codec,
        pixels="yuvj420p" if codec == "mjpeg" else "yuv420p",
    )
    whole = path.read_bytes()
    start = whole.find(b"mdat") if suffix == ".mp4" else len(whole) // 4
    end = whole.find(b"moov") if suffix == ".mp4" else len(whole)
    middle = (start + end) // 2
    hole = whole[:middle] + bytes((end - middle) // 2) + whole[middle + (end - middle) // 2 :]
    for damaged in [hole] + ([whole[:middle]] if suffix != ".mp4" else []):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"breaks off or is damaged after [01]\.\d\d s"):
            read_frames(path)
    path.write_bytes(whole)
    assert find_damage(path) is None
    assert len(read_frames(path)) == 30


def test_mp4_that_was_cut_off_after_its_index_is_an_error(tmp_path):
    pictures = [picture_at(t) for t in range(30)]
    path = write_video(tmp_path / "a.mp4", pictures)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "faststart"}) as copy:
        track = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                copy.mux(packet)
    whole = (tmp_path / "b.mp4").read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(ValueError, match=r"breaks off or is damaged after [01]\.\d\d s"):
        read_frames(path)


def test_announced_length_is_not_trusted(tmp_path):
    """Sound that outlasts the picture; and an MKV that announces ten times as long."""
    sound = np.zeros(2 * 48000, np.float32)
    path = write_video(tmp_path / "a.mkv", PICTURES, sound=sound)
    assert len(read_frames(path)) == len(PICTURES)
    whole = path.read_bytes()
    place = whole.find(b"\x44\x89\x88")  # Duration, a double
    (length,) = struct.unpack(">d", whole[place + 3 : place + 11])
    path.write_bytes(whole[: place + 3] + struct.pack(">d", 10 * length) + whole[place + 11 :])
    assert len(read_frames(path)) == len(PICTURES)


def test_file_without_video_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"this is text, and not a video at all")
    with pytest.raises(ValueError, match="no video"):
        VideoReader(path)
    with pytest.raises(FileNotFoundError):
        VideoReader(tmp_path / "missing.mp4")


def test_sound_with_a_cover_picture_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = *SIZE, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(picture_at(0)).reformat(format="yuvj420p")
        picture.pts = 0
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 48000, 0
        for track, frame in ((cover, picture), (sound, samples)):
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    with pytest.raises(ValueError, match="no video track, only sound"):
        VideoReader(path)


@pytest.mark.parametrize("pixels, notes", [("yuva444p10le", 1), ("yuv422p10le", 0)])
def test_lost_transparency_is_reported(tmp_path, pixels, notes):
    path = write_video(tmp_path / "a.mov", PICTURES[:2], "prores_ks", pixels=pixels)
    with VideoReader(path) as reader:
        assert [note for note in reader.notes if "transparency" in note] == ["Its transparency is not kept."] * notes


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_tone_mapped_with_a_note(tmp_path, transfer):
    context = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    grey = [np.full((*SIZE, 3), 148, np.uint8)] * 3  # PQ 0.58, white at 203 cd/m²; HLG 0.58, 97 cd/m²
    path = write_video(tmp_path / "a.mp4", grey, "libx265", pixels="yuv420p10le", context=context)
    with VideoReader(path) as reader:
        frame = next(item for item in reader if isinstance(item, Frame))
        converter = reader.converter
        assert (converter.matrix, converter.primaries, converter.transfer, converter.bits) == (1, 1, 1, 8)
        assert "tone-mapped" in reader.notes[0]
    luma = float(frame.planes[0].mean())
    assert 200 < luma < 225 if transfer == 16 else 150 < luma < 190
    assert abs(frame.planes[1].astype(int) - 128).max() <= 1


def test_full_range_becomes_limited(tmp_path):
    grey = [np.full((*SIZE, 3), 255, np.uint8)] * 2
    path = write_video(tmp_path / "a.avi", grey, "mjpeg", pixels="yuvj420p")
    assert abs(float(read_frames(path)[0].planes[0].mean()) - 235) < 1.5


def test_reading_two_videos_in_turn_does_not_mix_their_frames(tmp_path):
    red = write_video(tmp_path / "red.mp4", [picture_at(t, tint=(1, 0.1, 0.1)) for t in range(6)])
    green = write_video(
        tmp_path / "green.mp4",
        [picture_at(t, tint=(0.1, 1, 0.1)) for t in range(6)],
        options={"flags": "+ilme+ildct"},
    )
    with VideoReader(red) as a, VideoReader(green) as b:
        pairs = zip((i for i in a if isinstance(i, Frame)), (i for i in b if isinstance(i, Frame)), strict=True)
        for first, second in pairs:
            assert first.planes[2].mean() > 160 and second.planes[2].mean() < 100
