import subprocess
import sys

import torch

from ssdie.utils import torchvision_ops


def test_torchvision_imports_after_ssdie_in_a_fresh_interpreter():
    code = "import ssdie, torchvision; from torchvision.transforms import v2; print(v2.Resize(4).size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "[4]", done.stderr


def test_the_operators_exist_whoever_declared_them():
    assert torch.ops.torchvision.nms.default._schema.name == "torchvision::nms"


def test_nothing_is_declared_twice():
    declared_here = torchvision_ops._declaration is not None
    assert declared_here != torchvision_ops.compiled_operators_load()
