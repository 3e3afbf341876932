import subprocess
import sys

import torch

from ssdie.utils import torchvision_ops


def test_torchvision_imports_after_the_declaration():
    code = "from ssdie.utils import torchvision_ops; from torchvision.transforms import v2; print(v2.Resize(4).size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "[4]", done.stderr


def test_operators_exist():
    assert torch.ops.torchvision.nms.default._schema.name == "torchvision::nms"


def test_operators_are_declared_once():
    declared_here = torchvision_ops._declaration is not None
    assert declared_here != torchvision_ops.compiled_operators_load()
