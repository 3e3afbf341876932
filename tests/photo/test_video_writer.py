"""Writing videos: colours, tags, sound and other tracks of the source are there again, in a file that players know."""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from videos import SIZE, picture_at, psnr, read_frames, read_rgb, read_times, write_video

from ssdie.enhancement.video import enhance_video

PICTURES = [picture_at(t) for t in range(12)]


def copy(source, target, **settings) -> list[str]:
    """Write a video anew without changing its colours."""
    return enhance_video(source, target, strength=0, progress=False, **settings)


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory):
    """An MKV with sound, subtitles, an attachment and tags."""
    folder = tmp_path_factory.mktemp("everything")
    plain = write_video(folder / "plain.mkv", PICTURES, sound=0.1 * np.sin(np.arange(24000) / 20))
    (folder / "a.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nA camel.\n")
    path = folder / "a.mkv"
    with av.open(str(plain)) as source, av.open(str(folder / "a.srt")) as text, av.open(str(path), "w") as container:
        copies = {}
        for index, stream in enumerate((*source.streams, *text.streams)):
            copies[id(stream)] = container.add_stream_from_template(stream, opaque=True)
            copies[id(stream)].metadata["language"] = ("ara", "fra", "deu")[index]
        container.add_attachment("font.ttf", "application/x-truetype-font", b"not a font" * 9)
        container.metadata.update({"title": "Dust", "comment": "seen from the car"})
        for packet in (*source.demux(), *text.demux()):
            if packet.dts is not None:
                packet.stream = copies[id(packet.stream)]
                container.mux(packet)
    return path


def test_other_tracks_and_tags_are_copied_without_encoding_them_again(with_everything, tmp_path):
    target = tmp_path / "b.mkv"
    assert copy(with_everything, target) == []
    with av.open(str(with_everything)) as source, av.open(str(target)) as result:
        assert [s.type for s in result.streams] == ["video", "audio", "subtitle", "attachment"]
        assert [s.metadata.get("language") for s in result.streams][:3] == ["ara", "fra", "deu"]
        assert result.streams[3].data == b"not a font" * 9
        tags = {key.lower(): value for key, value in result.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("Dust", "seen from the car")
        packets = []
        for container in (source, result):
            found = [p for p in container.demux() if p.size and p.stream.type != "video"]
            packets.append(sorted((p.stream.index, p.pts, bytes(p)) for p in found))
    assert packets[0] == packets[1]
    assert {index for index, _, _ in packets[0]} == {1, 2}


def test_subtitles_that_the_container_cannot_hold_are_reported(with_everything, tmp_path):
    assert any("subtitle" in note for note in copy(with_everything, tmp_path / "b.mp4"))
    source, text = write_video(tmp_path / "a.mp4", PICTURES), b"\x00\x08A camel."  # its length, and the text
    with av.open(str(source)) as plain, av.open(str(tmp_path / "c.mp4"), "w") as container:
        track = container.add_stream_from_template(plain.streams.video[0], opaque=True)
        subtitles = container.add_stream("mov_text")
        subtitles.codec_context.subtitle_header = b"[V4+ Styles]\nFormat: Name\nStyle: Default\n"
        subtitles.codec_context.time_base = Fraction(1, 1000)
        container.start_encoding()
        packet = av.Packet(text)
        packet.stream, packet.time_base = subtitles, Fraction(1, 1000)
        packet.pts = packet.dts = packet.duration = 100
        container.mux(packet)
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                container.mux(packet)
    assert ["mov_text" in note for note in copy(tmp_path / "c.mp4", tmp_path / "d.mkv")] == [True]
    assert copy(tmp_path / "c.mp4", tmp_path / "d.mp4") == []
    with av.open(str(tmp_path / "d.mp4")) as result:
        assert text in [bytes(packet) for packet in result.demux(result.streams.subtitles[0])]


def test_chapters_and_tags_of_mp4_are_kept(tmp_path):
    metadata = {"title": "Dust", "creation_time": "2024-05-01T10:00:00.000000Z", "location": "+30.1000+047.2000/"}
    source = write_video(tmp_path / "a.mp4", PICTURES, metadata=metadata)
    chapters = "\n".join(
        [";FFMETADATA1"]
        + [f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={start + 200}\ntitle=Part {start}" for start in (0, 200)]
    )
    (tmp_path / "chapters.txt").write_text(chapters)
    with av.open(str(tmp_path / "chapters.txt"), format="ffmetadata") as text, av.open(str(source)) as first:
        found = text.chapters()
        with av.open(str(tmp_path / "b.mp4"), "w") as container:
            track = container.add_stream_from_template(first.streams.video[0], opaque=True)
            container.metadata.update(metadata)
            container.set_chapters(found)
            for packet in first.demux(video=0):
                if packet.dts is not None:
                    packet.stream = track
                    container.mux(packet)
    assert copy(tmp_path / "b.mp4", tmp_path / "c.mp4") == []
    with av.open(str(tmp_path / "c.mp4")) as result:
        assert [chapter["metadata"]["title"] for chapter in result.chapters()] == ["Part 0", "Part 200"]
        assert metadata.items() <= dict(result.metadata).items()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_stays_in_sync(tmp_path, suffix):
    """A flash and a click at 0.4 s, in a source whose picture has irregular time stamps."""
    rate, flash = 48000, 10
    times = [0, 4, 8, 12, 16, 20, 24, 29, 33, 36, 40, 44, 48, 52]
    pictures = [np.full((*SIZE, 3), 230 if index == flash else 40, np.uint8) for index in range(len(times))]
    sound = np.zeros(rate * 6 // 10, np.float32)
    sound[rate * 4 // 10 : rate * 4 // 10 + 240] = 0.9
    source = write_video(tmp_path / f"a{suffix}", pictures, times=times, sound=sound)
    target = tmp_path / f"b{suffix}"
    copy(source, target)
    assert np.diff(read_times(target)) == pytest.approx(np.diff(times) / 100, abs=0.0011)
    with av.open(str(target)) as container:
        shown = next(f.time for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 150)
    with av.open(str(target)) as container:
        heard = [(f.time, f.to_ndarray()[0]) for f in container.decode(audio=0)]
    samples = np.concatenate([s for _, s in heard])
    click = heard[0][0] + np.argmax(np.abs(samples) > 0.3) / rate
    assert abs(shown - click) < 0.02


def test_sound_that_the_container_cannot_hold_is_encoded_again_with_a_note(tmp_path):
    sound = 0.3 * np.sin(np.arange(24000) / 20)
    source = write_video(tmp_path / "a.mkv", PICTURES, sound=sound)
    notes = copy(source, tmp_path / "b.webm")
    assert len(notes) == 1 and "aac" in notes[0]
    with av.open(str(tmp_path / "b.webm")) as container:
        heard = [(f.time, f.to_ndarray()[0]) for f in container.decode(audio=0)]
    assert sum(len(samples) for _, samples in heard) / 48000 == pytest.approx(0.5, abs=0.1)
    assert np.abs(np.concatenate([s for _, s in heard])[4800:19200]).max() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("matrix, size", [(1, SIZE), (6, SIZE), (6, (95, 127))])
def test_copy_at_strength_0_keeps_colours_and_tags(tmp_path, matrix, size):
    tags = {"colorspace": matrix, "color_primaries": matrix, "color_trc": matrix, "color_range": 1}
    pixels = "yuv444p" if size[0] % 2 else "yuv420p"
    source = write_video(tmp_path / "a.mp4", [picture_at(t, size) for t in range(8)], pixels=pixels, context=tags)
    copy(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (frame.height, frame.width) == tuple(side + side % 2 for side in size)
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (
            matrix,
            matrix,
            matrix,
            1,
        )
    for before, after in zip(read_rgb(source), read_rgb(tmp_path / "b.mp4"), strict=True):
        assert psnr(before, after[: size[0], : size[1]]) >= 40
    for before, after in zip(read_frames(source), read_frames(tmp_path / "b.mp4"), strict=True):
        for first, second in zip(before.planes, after.planes, strict=True):
            assert abs(float(first.mean()) - float(second.mean())) < 0.2


@pytest.mark.parametrize("codec, bits", [(None, 8), ("hevc", 10), ("av1", 10)])
def test_10_bits_stay_or_are_reported(tmp_path, codec, bits):
    source = write_video(tmp_path / "a.mp4", PICTURES[:4], "libx265", pixels="yuv420p10le")
    notes = copy(source, tmp_path / "b.mp4", codec=codec)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].format.components[0].bits == bits
    assert (notes == []) == (bits == 10)
    scale = 2 ** (bits - 8)
    before, after = read_frames(source), read_frames(tmp_path / "b.mp4")
    assert psnr(before[2].planes[0] / 4, after[2].planes[0] / scale) > 40


def test_webm_is_written_as_vp9(tmp_path):
    source = write_video(tmp_path / "a.webm", PICTURES[:5], "libvpx-vp9", options={"cpu-used": "8"})
    assert copy(source, tmp_path / "b.webm") == []
    with av.open(str(tmp_path / "b.webm")) as container:
        assert container.streams.video[0].codec_context.name == "vp9"
        assert len(list(container.decode(video=0))) == 5


@pytest.mark.parametrize(
    "name, settings",
    [("b.avi", {}), ("b.mp4", {"codec": "divx"}), ("b.mp4", {"crf": 70}), ("b.webm", {"codec": "h264"})],
)
def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, name, settings):
    with pytest.raises(ValueError, match="expected"):
        copy(tmp_path / "missing.mp4", tmp_path / name, **settings)


@pytest.mark.external
def test_ffprobe_finds_a_standard_file(tmp_path):
    if not shutil.which("ffprobe"):
        pytest.skip("ffprobe is not installed")
    source = write_video(tmp_path / "a.mp4", PICTURES, context={"sample_aspect_ratio": Fraction(4, 3)})
    copy(source, tmp_path / "b.mp4")
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", tmp_path / "b.mp4"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"][0]
    expected = {"codec_name": "h264", "pix_fmt": "yuv420p", "sample_aspect_ratio": "4:3", "color_range": "tv"}
    assert expected.items() <= found.items()
    assert found["nb_read_frames"] == "12" and {"color_space", "color_transfer", "color_primaries"} <= found.keys()
    assert b"moov" in (tmp_path / "b.mp4").read_bytes()[:64]  # the index is at the start


@pytest.mark.external
def test_chromium_plays_the_result(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    source = write_video(tmp_path / "a.mp4", PICTURES, "mpeg4", context={"bit_rate": 4_000_000})
    copy(source, tmp_path / "b.mp4")
    (tmp_path / "page.html").write_text('<video id="v" src="b.mp4" muted></video>')
    with sync_api.sync_playwright() as playwright:
        try:
            executable = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=executable)
        except sync_api.Error:
            pytest.skip("Chromium is not installed")
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("v.readyState >= 2 || v.error", timeout=10_000)
        result = page.evaluate("v.error ? v.error.message : [v.videoWidth, v.videoHeight, v.duration]")
        browser.close()
    assert result == [SIZE[1], SIZE[0], pytest.approx(0.48, abs=0.05)]
