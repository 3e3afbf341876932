"""A training step does not synchronise the device with the host: no read-back, no blocking copy.

The tests need no GPU: tensors on PyTorch's "meta" device have shapes but no values, so reading a value raises an error,
and a `TorchDispatchMode` sees every operation.
"""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils._python_dispatch import TorchDispatchMode

from ssdie.losses import PSEUDO_LABELS, LossWeights
from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.generators import build_generator
from ssdie.networks.vgg import FeatureNetwork
from ssdie.synthesis.recipes import sample_dust
from ssdie.training.augmentation import augment_copies
from ssdie.training.checkpoint import MovingAverage
from ssdie.training.config import TrainConfig
from ssdie.training.objective import discriminator_term, generator_groups
from ssdie.training.stages import make_pairs
from ssdie.utils.devices import constant_like, fast_bfloat16, resolve_precision, without_autocast

META = torch.device("meta")
READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_linalg_check_errors", "unique")


class SyncCounter(TorchDispatchMode):
    """Counts the operations that would synchronise a GPU with the host."""

    def __init__(self):
        super().__init__()
        self.found: Counter = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Record an operation if it synchronises, and run it."""
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        tensors = [a for a in torch.utils._pytree.tree_leaves(args) if isinstance(a, torch.Tensor)]
        if name in READS and any(t.device == META for t in tensors):
            self.found[name] += 1
        if name.startswith("index") and len({t.device for t in tensors}) > 1:
            self.found["index from the host"] += 1
        output = func(*args, **kwargs)
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            blocking = not (kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,)))
            if source.device != output.device and blocking:
                self.found[f"copy to {output.device}"] += 1
        return output


@pytest.fixture
def no_generators(monkeypatch):
    """Create generators on the CPU, since the meta device has none."""
    make = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": make())


def make_networks():
    options = {"width": 8, "head": "scattering", "context": 2, "smooth": 2}
    with META:  # no values are drawn
        networks = build_generator("msff", **options), PatchDiscriminator(width=8), DarkChannelNet(width=8)
        return [*networks, FeatureNetwork("random")]


def test_synchronising_operations_are_counted():
    on_device = torch.ones(3, device=META)
    for operation in (
        lambda: torch.ones(3).to(META),
        lambda: on_device[torch.tensor([0, 1])],
        lambda: on_device[:1].item(),
        lambda: torch.linalg.cholesky(torch.ones(3, 3, device=META)),
    ):
        with SyncCounter() as counter, suppress(RuntimeError, NotImplementedError):  # meta tensors have no values
            operation()
        assert counter.found


@pytest.mark.parametrize(
    "label, working_size, sequential_copies",
    [*((label, 0, False) for label in PSEUDO_LABELS), ("teacher", 32, False), ("teacher", 0, True)],
)  # of the labels, only the teacher's depends on the other settings
def test_a_training_step_does_not_synchronise(label, working_size, sequential_copies, no_generators):
    weights = LossWeights(psnr=1.0, ssim=1.0, fit=1.0, gradient=1.0)
    settings = {"copies": 2, "recipe": "mixed", "target": "visible", "pseudo_label": label, "weights": weights}
    config = TrainConfig(
        "semi-supervised", Path("."), working_size=working_size, sequential_copies=sequential_copies, **settings
    )
    networks, random = make_networks(), torch.Generator()
    batch = torch.zeros(3, 4, 64, 64, device=META)
    averaged = MovingAverage(networks[0], 0.9)
    all_logits = []
    with SyncCounter() as counter:
        pair = make_pairs(batch, config, random)
        for group, logits in generator_groups(networks, pair, batch[:, :3], config, random, random, averaged):
            sum(getattr(weights, name) * value for name, value in group.items()).backward()
            all_logits += logits
        discriminator_term(networks[1], batch[:, :3], all_logits, config, random).backward()
        torch.nn.utils.clip_grad_norm_(networks[0].parameters(), 1.0)
        for _ in range(2):
            averaged.update_parameters(networks[0])
    assert not counter.found
    assert all(p.grad.device == META for p in networks[0].parameters())


def test_moving_averages_equal_those_of_pytorch():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    ours = MovingAverage(network, 0.75)
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.75), use_buffers=True)
    for _ in range(4):
        network(torch.rand(8, 3)).sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.rand_like(parameter)
        ours.update_parameters(network)
        theirs.update_parameters(network)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_dust_parameters_are_drawn_on_the_cpu_and_images_are_computed_on_the_device():
    dust = sample_dust(2, torch.Generator().manual_seed(0))
    assert dust.beta.device.type == "cpu" and dust.to("meta").beta.device == META
    assert dust.to("cpu").beta is dust.beta
    assert augment_copies(torch.zeros(2, 3, 32, 32, device=META), 3, torch.Generator()).shape == (6, 3, 32, 32)
    assert constant_like((1, 2), torch.zeros(1, dtype=torch.float64, device=META)).dtype == torch.float64


@pytest.mark.parametrize(
    "capabilities, fast",
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "avx2": True}, False),
        ({"architecture": "aarch64", "bf16": True}, True),
    ],
)
def test_bfloat16_is_chosen_on_cpus_that_compute_it_faster(capabilities, fast, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert fast_bfloat16.__wrapped__() is fast


def test_without_autocast_keeps_float32_inside_autocast():
    a = torch.rand(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with without_autocast(a.device):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    with without_autocast(META):
        assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize("fast, used", [(True, "bf16"), (False, "fp32")])
def test_automatic_precision_is_the_fastest_of_the_device(fast, used, monkeypatch):
    monkeypatch.setattr("ssdie.utils.devices.fast_bfloat16", lambda: fast)
    assert resolve_precision("auto") == used and resolve_precision("auto", "cuda") == "bf16"
    assert resolve_precision("auto", "mps") == "fp32"
    assert [resolve_precision(name) for name in ("no", "fp32", "bf16", "fp16")] == ["fp32", "fp32", "bf16", "fp16"]
    with pytest.raises(ValueError, match="precision: expected one of auto, fp32, bf16, fp16, got 'half'"):
        resolve_precision("half")
