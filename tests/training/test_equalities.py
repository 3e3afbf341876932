"""The fast step has the losses and gradients of the published one; two processes have the gradients of one."""

import functools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssdie.bench.steps import PublishedInputs, published_discriminator_step, published_generator_step
from ssdie.cli import main
from ssdie.losses import LossWeights, make_pseudo_label
from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.generators import build_generator
from ssdie.networks.layers import attend
from ssdie.networks.vgg import FeatureNetwork
from ssdie.training.augmentation import augment_copies
from ssdie.training.config import TrainConfig
from ssdie.training.objective import discriminator_term, generator_groups, perturb, sum_terms
from ssdie.training.run import Run

GENERATORS = {"unet": {"width": 8, "levels": 4}, "msff": {"width": 8}}
make_features = functools.cache(lambda: FeatureNetwork("random"))


@pytest.fixture(scope="module")
def pictures():
    random = torch.Generator().manual_seed(0)
    return [torch.rand(2, 3, 32, 32, generator=random) for _ in range(4)]


def make_networks(name: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = build_generator(name, **GENERATORS[name])
        networks = [generator, PatchDiscriminator(width=8), DarkChannelNet(width=8)]
    for parameter in generator.parameters():
        if parameter.numel() == 1:
            parameter.data.fill_(0.5)  # gamma: enable the attention
    return [network.eval() for network in networks]


def gradients(network):
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def fast_step(networks, pictures, config):
    """Return losses and gradients of `ssdie.training.stages`."""
    generator, discriminator, dark_channel_net = networks
    (dusty, clear, real, others), w = pictures, config.weights
    random, latent = (torch.Generator().manual_seed(s) for s in (1, 2))
    features, terms, enhanced_logits = make_features(), {}, []
    dark_channel_net.requires_grad_(False)
    networks = (generator, discriminator, dark_channel_net, features)
    for group, logits in generator_groups(networks, (dusty, clear), real, config, random, latent):
        sum(getattr(w, k) * v for k, v in group.items()).backward()
        terms, enhanced_logits = sum_terms(terms, group), enhanced_logits + logits
    first = gradients(generator)
    assert gradients(discriminator) == []
    terms["discriminator"] = discriminator_term(discriminator, others, enhanced_logits, config, random)
    terms["discriminator"].backward()
    return terms, first, gradients(discriminator)


def published_step(networks, pictures, config):
    """Return losses and gradients of `ssdie.bench.steps`, with the same random numbers."""
    dusty, clear, real, others = pictures
    random, latent = (torch.Generator().manual_seed(s) for s in (1, 2))
    perturbed = perturb(real.repeat(config.copies, 1, 1, 1), config.noise, latent)
    copies, clear_copies = (augment_copies(x, config.copies, random).chunk(config.copies) for x in (real, others))
    label = make_pseudo_label(real, config.pseudo_label)
    inputs = PublishedInputs(dusty, clear, real, label, perturbed.chunk(config.copies), copies, clear_copies)
    features = (make_features(), make_features())
    terms = published_generator_step((*networks, features), inputs, config.weights)
    first = gradients(networks[0])
    networks[1].zero_grad()  # the generator's step leaves gradients in the discriminator
    terms |= published_discriminator_step(networks, inputs)
    return terms, first, gradients(networks[1])


@pytest.mark.parametrize(
    "sequential_copies, normalise",
    [(False, False), (True, False), (True, True)],
    ids=["one batch", "sequential", "sequential, BatchNorm"],
)
@pytest.mark.parametrize("name", GENERATORS)
def test_fast_step_equals_the_published_step(pictures, name, sequential_copies, normalise, tmp_path):
    """With copies in one batch if BatchNorm uses stored statistics; with sequential copies in any case."""
    settings = {"pseudo_label": "retinex", "copies": 2, "sequential_copies": sequential_copies}
    config = TrainConfig("semi-supervised", tmp_path, **settings)
    networks = make_networks(name), make_networks(name)
    for module in (m for group in networks for network in group[:2] for m in network.modules()):
        if normalise and isinstance(module, torch.nn.BatchNorm2d):
            module.train()
    fast = fast_step(networks[0], pictures, config)
    published = published_step(networks[1], pictures, config)
    assert set(fast[0]) == set(published[0])
    for term, value in published[0].items():
        assert fast[0][term].item() == pytest.approx(value.item(), rel=1e-4), term
    for ours, theirs in zip(fast[1:], published[1:], strict=True):
        assert len(ours) == len(theirs) > 0
        scale = max(g.abs().max() for g in theirs)
        assert max((a - b).abs().max() for a, b in zip(ours, theirs, strict=True)) < 1e-3 * scale


@pytest.mark.parametrize("weights", [{"retinex": 0}, {"consistency": 0}, {"dark_channel": 0}, {"adversarial": 0}])
def test_sequential_copies_have_the_gradients_of_one_batch(pictures, weights, tmp_path):
    config = TrainConfig("semi-supervised", tmp_path, copies=2, weights=LossWeights(**weights))
    results = []
    for sequential_copies in (False, True):
        config.sequential_copies = sequential_copies
        networks, random = make_networks("msff"), [torch.Generator().manual_seed(s) for s in (1, 2)]
        terms, enhanced_logits = {}, []
        all_networks, (dusty, clear, real, _) = (*networks, make_features()), pictures
        for group, logits in generator_groups(all_networks, (dusty, clear), real, config, *random):
            sum(getattr(config.weights, k) * v for k, v in group.items()).backward()
            terms, enhanced_logits = sum_terms(terms, group), enhanced_logits + logits
        results.append((terms, gradients(networks[0])))
        assert len(enhanced_logits) == ("adversarial" not in weights) * (config.copies if sequential_copies else 1)
    assert results[0][0].keys() == results[1][0].keys() and not results[0][0].keys() & weights.keys()
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        assert (ours - theirs).abs().max() < 1e-4 * max(g.abs().max() for g in results[0][1])


@pytest.mark.parametrize("kept", [0, 2**30], ids=["recomputed", "stored"])
def test_attention_equals_its_formula(kept, monkeypatch):
    monkeypatch.setattr("ssdie.networks.layers.KEPT", kept)
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 1, n, c, generator=random) for n, c in ((300, 16), (80, 16), (80, 128))]
    inputs = [x.requires_grad_() for x in inputs]

    def explicit(query, key, value):
        return torch.softmax(query @ key.transpose(2, 3), dim=3) @ value

    plain = explicit(*inputs)
    expected = torch.autograd.grad(plain.square().sum(), inputs)
    for rows in (1, 7, 128, 1000):
        output = attend(*inputs, rows)
        assert (output - plain).abs().max() < 1e-5
        for got, other in zip(torch.autograd.grad(output.square().sum(), inputs), expected, strict=True):
            assert (got - other).abs().max() < 1e-4 * other.abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        coarse = attend(*(x.bfloat16() for x in inputs))
    assert coarse.dtype == torch.bfloat16 and (coarse - plain).abs().max() < 0.02 * plain.abs().max()
    for got, other in zip(torch.autograd.grad(coarse.float().square().sum(), inputs), expected, strict=True):
        assert (got - other).norm() < 0.03 * other.norm()
    other_device = attend(*(x.detach().to("meta") for x in inputs))  # the kernel for other devices
    assert other_device.shape == plain.shape


@pytest.mark.parametrize("kept", [0, 2**30], ids=["recomputed", "stored"])
def test_gradients_of_attention_equal_finite_differences(kept, monkeypatch):
    monkeypatch.setattr("ssdie.networks.layers.KEPT", kept)
    random = torch.Generator().manual_seed(1)
    inputs = [torch.randn(2, 1, n, c, generator=random, dtype=torch.float64) for n, c in ((5, 2), (4, 2), (4, 3))]
    assert torch.autograd.gradcheck(lambda *x: attend(*x, rows=2), [x.requires_grad_() for x in inputs])


# Processes ---------------------------------------------------------------------------------------------------------


def write_gradients(folder: Path, out: Path) -> None:
    """Write the gradients of two groups of terms, for this process's part of a fixed batch."""
    run = Run(TrainConfig("supervised", out / "run", folder, precision="fp32"))
    torch.manual_seed(0)
    network = run.add("generator", build_generator("msff", width=8)).eval()
    batch = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    rank, processes = run.accelerator.process_index, run.accelerator.num_processes
    for part in (batch, 1 - batch):
        mine = part[rank::processes]
        run.backward({"reconstruction": (network(mine) - mine.flip(1)).abs().mean()})
    if run.accelerator.is_main_process:
        found = [p.grad for p in run.accelerator.unwrap_model(network).parameters()]
        torch.save(found, out / f"{processes}.pt")
    run.accelerator.wait_for_everyone()
    run.accelerator.free_memory()


def launch(processes: int, command: list[str]) -> None:
    """Start processes with the environment variables that a launcher sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixed = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    fixed |= {"OMP_NUM_THREADS": 1, "PYTHONPATH": Path(__file__).parents[2], "CUDA_VISIBLE_DEVICES": ""}
    running = []
    for rank in range(processes):
        environment = os.environ | {k: str(v) for k, v in (fixed | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()[-2000:]


def test_two_processes_have_the_gradients_of_one_and_train_stage_3(tmp_path, photo_folder, dark_channel_net):
    write_gradients(photo_folder, tmp_path)
    options = {"run": tmp_path / "both", "data": photo_folder, "dark-channel-net": dark_channel_net, "copies": 1}
    options |= {"steps": 2, "batch": 1, "size": 32, "options": '{"width": 4}', "report-every": 1, "precision": "fp32"}
    options |= {"weights.perceptual": 0, "weights.style": 0}
    command = ["train", "semi-supervised", *(f"--{name}={value}" for name, value in options.items())]
    launch(2, [sys.executable, __file__, str(photo_folder), str(tmp_path), *command])
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    assert len(one) == len(two) > 0
    assert max((a - b).abs().max() for a, b in zip(one, two, strict=True)) < 1e-5
    assert (tmp_path / "both" / "generator.safetensors").is_file()


if __name__ == "__main__":  # one of the processes
    write_gradients(Path(sys.argv[1]), Path(sys.argv[2]))
    raise SystemExit(main(sys.argv[3:]))
