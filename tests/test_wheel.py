"""The wheel in a fresh environment without extras: enhanced photos equal those of PyTorch; the page is served."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
import venv

import numpy as np
import pytest
from faults import ROOT, default_interrupt
from PIL import Image

from ssdie.data.sample import sample_pair
from ssdie.enhancement.photo import enhance_array
from ssdie.enhancement.tensors import TorchModel, released_classifier, released_network
from ssdie.synthesis.dust import add_dust
from ssdie.utils.devices import resolve_precision

SIZES = [(300, 400), (400, 300), (128, 128), (97, 203), (64, 48), (480, 640), (33, 500), (256, 256)]
LARGEST = 400_000_000  # bytes, pip included


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Interpreter of a fresh virtual environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    (wheel,) = folder.glob("*.whl")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True)
    return python


@pytest.mark.external
def test_the_wheel_has_the_page_and_serves_it(python, tmp_path):
    command = [python, "-m", "ssdie", "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=default_interrupt
    ) as app:
        match = re.search(r"http://\S+/", app.stdout.readline())
        assert match, "the page is not in the wheel; build it with `make web`"
        address = match[0]
        with urllib.request.urlopen(address, timeout=30) as response:
            page = response.read().decode()
        names = re.findall(r'(?:src|href)="(?:\./)?([\w./-]+)"', page)
        assert len(names) > 2
        for name in (*names, "msff.onnx", "sw.js"):
            with urllib.request.urlopen(f"{address}{name}", timeout=30) as response:
                assert len(response.read()) > 100, name
        app.send_signal(signal.SIGINT)
        assert app.wait(30) == 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number, size in enumerate(SIZES):
        clear, depth = sample_pair(number, size)
        dusty = add_dust(clear[None], depth[None], generator=number).dusty[0]
        pixels = (dusty.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_eight_photos_enhanced_without_torch_equal_those_of_the_torch_path(python, photos, tmp_path):
    command = [python, "-m", "ssdie", "enhance", photos, "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = TorchModel(released_network(), classifier=released_classifier())
    tolerance = 1 if resolve_precision("auto") == "fp32" else 8
    for number in range(len(SIZES)):
        with Image.open(photos / f"{number}.png") as before, Image.open(tmp_path / "out" / f"{number}.png") as after:
            expected = enhance_array(np.asarray(before), model)
            difference = np.abs(expected.astype(int) - np.asarray(after))
        assert difference.max() <= tolerance, number


def test_the_base_installation_is_small_and_other_commands_name_their_extra(python, tmp_path):
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert not names & {"torch", "opencv-python", "scipy", "pandas", "jupyterlab", "ipython"}, names
    size = sum(path.stat().st_size for path in python.parents[1].rglob("*") if path.is_file() and not path.is_symlink())
    assert size <= LARGEST, size
    done = subprocess.run([python, "-m", "ssdie", "train", "supervised"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and 'Install it with: pip install "ssdie[train]"' in done.stderr, done.stderr
