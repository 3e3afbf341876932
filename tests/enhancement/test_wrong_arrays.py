"""Unsupported arrays and tensors raise an error that names the expected and the actual input."""

import numpy as np
import pytest
import torch

from ssdie import enhance
from ssdie.networks.generators import build_generator


@pytest.fixture(scope="module")
def model():
    return build_generator("msff", width=8, head="scattering").eval()


PLAIN = np.full((9, 9, 3), 0.5, np.float32)
WRONG = {
    "nan": (np.where(PLAIN == 0.5, np.nan, 1), "got nan to nan"),
    "one nan": (np.concatenate((PLAIN, np.full((1, 9, 3), np.nan, np.float32))), "got nan to nan"),
    "infinite": (np.full_like(PLAIN, np.inf), "got inf to inf"),
    "0 to 255": (PLAIN * 510, "got 255 to 255"),
    "-1 to 1": (PLAIN - 1, "got -0.5 to -0.5"),
    "nan tensor": (torch.full((3, 9, 9), torch.nan), "got nan to nan"),
    "tensor of 0 to 255": (torch.full((3, 9, 9), 255.0), "got 255 to 255"),
    **{f"{t.__name__}": (PLAIN.astype(t), t.__name__) for t in (np.int64, np.bool_, np.complex64, np.uint32)},
    "objects": (PLAIN.astype(object), "object"),
    "text": (PLAIN.astype(str), "<U"),
    "other byte order": (PLAIN.astype(">f4"), ">f4"),
    "extended precision": (PLAIN.astype(np.longdouble), str(np.dtype(np.longdouble))),
    "no pixel": (PLAIN[:0], r"\(0, 9, 3\)"),
    "one axis": (PLAIN[0, 0], r"\(3,\)"),
    "two channels": (PLAIN[..., :2], r"\(9, 9, 2\)"),
    "channels first": (PLAIN.transpose(2, 0, 1), r"\(3, 9, 9\)"),
    "a batch": (PLAIN[None], r"\(1, 9, 9, 3\)"),
    "uint8 tensor": (torch.zeros(3, 9, 9, dtype=torch.uint8), "torch.uint8"),
    "channels last": (torch.zeros(9, 9, 3), r"\(9, 9, 3\)"),
    "empty tensor": (torch.zeros(3, 0, 9), r"\(3, 0, 9\)"),
    "empty batch": (torch.zeros(0, 3, 9, 9), r"\(0, 3, 9, 9\)"),
    "bytes": (b"picture", "bytes"),
    "nothing": (None, "NoneType"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arrays_are_refused_with_the_expected_and_the_actual_input(kind, model):
    value, got = WRONG[kind]
    if kind == "extended precision" and value.dtype == np.float64:
        value, got = PLAIN.astype(">f8"), ">f8"  # platforms without extended precision
    with pytest.raises((TypeError, ValueError), match=got) as caught:
        enhance(value, model, working_size=32)
    assert "expected " in str(caught.value)
