"""State of a training run: networks, optimisers, moving average and log; saved completely, resumed exactly."""

import gc
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from torch import nn

from ssdie.data.photos import find_photos, fingerprint
from ssdie.losses import LossWeights
from ssdie.networks.weights import load_state, save_weights
from ssdie.training.batches import Crops, load_batches
from ssdie.training.checkpoint import MovingAverage, load_matching_checkpoint, save_checkpoint
from ssdie.training.config import STAGES, TrainConfig
from ssdie.training.log import Log, Tally
from ssdie.utils.devices import derive_seed, resolve_precision
from ssdie.utils.paths import lock_folder
from ssdie.utils.provenance import begin_manifest, current_commit, make_manifest

CHECKPOINT = "checkpoint.pt"  # file name, in the folder of the run


class Run:
    """State and operations shared by the training loops of `ssdie.training.stages`.

    Args:
        config: settings; if the folder `config.run` holds a checkpoint, `steps` resumes it.

    Raises:
        ValueError: the checkpoint was written with other settings.
    """

    def __init__(self, config: TrainConfig):
        torch.manual_seed(config.seed)  # initial weights
        precision = run_precision(config)
        self.checkpoint = load_matching_checkpoint(config.run / CHECKPOINT, config, precision)
        self.config = config = replace(config, precision=precision)
        mixed = "no" if config.precision == "fp32" else config.precision
        self.accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=mixed)
        self.device = self.accelerator.device
        self.sources = find_photos(config.data)
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.averaged: MovingAverage | None = None
        self.done = self.saved = 0
        self.tally = Tally()
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)  # whether all losses of this step are finite
        self.skipped = torch.zeros((), device=self.device)  # number of skipped updates
        self.buffers: dict[str, list[torch.Tensor]] = {}  # buffers after the last update that was not skipped
        self.commit = current_commit()
        self.photos = fingerprint(self.sources)

    @property
    def path(self) -> Path:
        """Path of the checkpoint."""
        return self.config.run / CHECKPOINT

    def add(self, name: str, network: nn.Module) -> nn.Module:
        """Prepare a network for training, with an Adam optimiser; the generator also gets a moving average."""
        c = self.config
        network = network.to(self.device, memory_format=torch.channels_last)
        if name == "generator":
            self.averaged = MovingAverage(network, c.ema)
        optimizer = torch.optim.Adam(network.parameters(), c.learning_rate, c.betas, fused=True)
        self.networks[name], self.optimizers[name] = self.accelerator.prepare(network, optimizer)
        return self.networks[name]

    def prepare_frozen(self, network: nn.Module) -> nn.Module:
        """Prepare a frozen network: on the device, in evaluation mode, in the precision of the run."""
        network = network.requires_grad_(False).eval().to(self.device, memory_format=torch.channels_last)
        return self.accelerator.prepare_model(network, evaluation_mode=True)

    def teacher_output(self, image: torch.Tensor) -> torch.Tensor:
        """Enhance a batch with the averaged generator, in the precision of the run."""
        with self.accelerator.autocast():
            return self.averaged.eval()(image).float()

    def batches(self, kind: str, offset: int = 0, count: int = 0) -> Iterator[torch.Tensor]:
        """Return endless batches of "clear" (with depth) or "dusty" photos on the device, starting at the next step.

        Args:
            kind: "clear" or "dusty".
            offset: part of the seed; several sequences of the same photos need different offsets.
            count: images per batch; 0: `config.batch`.

        Raises:
            ValueError: there are no such photos, or they changed since the checkpoint was written.
        """
        c, a = self.config, self.accelerator
        self._check_photos(kind)
        crops = Crops(getattr(self.sources, kind), c.size, derive_seed(c.seed, STAGES.index(c.stage), offset))
        start = self.checkpoint["step"] if self.checkpoint else 0
        loaded = load_batches(crops, count or c.batch, start, c.workers, a.process_index, a.num_processes)
        return (batch.to(self.device, non_blocking=True) for batch in loaded)

    def steps(self) -> Iterator[int]:
        """Yield the remaining steps; save every `save_every` steps and after the last.

        Raises:
            BlockingIOError: another process is training in the same folder.
        """
        with lock_folder(self.config.run) if self.accelerator.is_main_process else nullcontext():
            yield from self._steps()

    def _steps(self) -> Iterator[int]:
        c = self.config
        self._resume()
        self.log = None
        if self.accelerator.is_main_process:
            settings, device = {**asdict(c), "run": c.run.name}, str(self.device)
            begin_manifest(c.run, make_manifest(settings, c.seed, self.photos, device, self.commit), self.done)
            self.log = Log(c.run, self.done)
        for name, network in self.networks.items():
            network.train()
            if c.frozen_norm and name == "generator":
                for module in network.modules():
                    module.train(not isinstance(module, nn.BatchNorm2d) and module.training)
            self.buffers[name] = [buffer.clone() for buffer in network.buffers()]
        for step in range(self.done, c.steps):
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = c.learning_rate_at(step)
            yield step
            self.done = step + 1
            if self.done % c.save_every == 0 or self.done == c.steps:
                self.save()

    def seed_step(self, step: int) -> torch.Generator:
        """Seed all random numbers of a step; return the generator for dust and augmentation."""
        rank = self.accelerator.process_index
        seed = derive_seed(self.config.seed, STAGES.index(self.config.stage), step, rank)
        torch.manual_seed(seed)  # dropout
        return torch.Generator().manual_seed(seed)

    def device_random(self, random: torch.Generator) -> torch.Generator:
        """Return a random generator on the device, seeded with the next number of `random`."""
        return torch.Generator(self.device).manual_seed(int(torch.randint(2**62, (), generator=random)))

    def backward(self, terms: dict[str, torch.Tensor], weights: LossWeights | None = None) -> None:
        """Backpropagate the weighted sum of the terms."""
        self._check_finite(terms)
        total = sum(v * (getattr(weights, k) if weights else 1) for k, v in terms.items())
        self.finite = self.finite & total.detach().isfinite()
        self.accelerator.backward(total)

    def step(self, name: str) -> dict[str, torch.Tensor]:
        """Clip the gradient of a network, update the weights, clear the gradient; return the norm of the gradient."""
        optimizer = self.optimizers[name]
        norm = torch.as_tensor(self.accelerator.clip_grad_norm_(self.networks[name].parameters(), self.config.clip))
        norms = {f"{name}_gradient": norm}
        self._check_finite({} if self.accelerator.scaler else norms)
        if self.config.nonfinite == "skip":
            self._skip_if_nonfinite(name, norm)
        optimizer.step()
        optimizer.zero_grad()
        self.finite = torch.ones_like(self.finite)
        if name == "generator":
            self.averaged.update_parameters(self.accelerator.unwrap_model(self.networks[name]))
        return norms

    def _skip_if_nonfinite(self, name: str, norm: torch.Tensor) -> None:
        """Skip the update if a loss or gradient is not finite, without synchronising (fused Adam's found_inf).

        With fp16 the gradient scaler checks the gradient: there it is normal to skip an update and reduce the scale.
        """
        finite = self.finite if self.accelerator.scaler else self.finite & norm.isfinite()
        if self.accelerator.num_processes > 1:
            finite = self.accelerator.reduce(finite.float(), "mean") == 1
        self.optimizers[name].optimizer.found_inf = (~finite).float()  # fused Adam then keeps weights and moments
        for buffer, kept in zip(self.networks[name].buffers(), self.buffers[name], strict=True):
            buffer.copy_(torch.where(finite, buffer, kept))
            kept.copy_(buffer)
        self.skipped = self.skipped + ~finite

    def report(self, step: int, terms: dict[str, torch.Tensor]) -> Iterator[dict[str, float]]:
        """Accumulate the terms; every `report_every` steps, log and yield the means of their finite values.

        Raises:
            FloatingPointError: a term was not finite and `nonfinite` is "stop".
        """
        self.tally.add(step + 1, terms)
        if (step + 1) % self.config.report_every == 0 or step + 1 == self.config.steps:
            self._check_tally()
            means = {"step": step + 1, **self.tally.means(), "learning_rate": self.config.learning_rate_at(step)}
            if self.config.nonfinite == "skip":
                means["skipped"] = self.skipped.item()
            self.tally = Tally()
            if self.log:
                self.log.write(means)
            yield means

    def _check_finite(self, values: dict[str, torch.Tensor]) -> None:
        """On a CPU, stop at the current step. On a GPU this would synchronise, so `report` and `save` check instead."""
        if self.config.nonfinite == "stop" and self.device.type == "cpu":
            for name, value in values.items():
                if not value.isfinite():
                    self._stop(name, self.done + 1)

    def _check_tally(self) -> None:
        """Stop if a term was not finite and `nonfinite` is "stop"."""
        scaled = self.accelerator.scaler is not None  # with fp16 a gradient may overflow occasionally
        firsts = {n: k for n, k in self.tally.firsts().items() if not (scaled and n.endswith("_gradient"))}
        if firsts and self.config.nonfinite == "stop":
            name = min(firsts, key=firsts.get)
            self._stop(name, firsts[name])

    def _stop(self, name: str, step: int) -> None:
        """Raise an error that names the term, the step and the last checkpoint."""
        saved = f"{self.path} of step {self.saved}" if self.saved else "none"
        raise FloatingPointError(
            f"Step {step}: {name} is not finite. Last good checkpoint: {saved}. Use a lower learning rate in a new "
            'run folder, or resume with nonfinite="skip" (--nonfinite skip) to skip such updates.'
        )

    def finish(self) -> None:
        """Write the weights of the averaged generator, close the log and wait for the other processes."""
        if self.accelerator.is_main_process:
            self.log.close()
            if self.averaged is not None:
                c = self.config
                settings = {k: v for k, v in asdict(c).items() if not isinstance(v, Path)}
                about = {"generator": c.generator, "options": c.options, "config": settings, "commit": self.commit}
                about |= {"data": self.sources.origin, "photos": self.sources.counts}
                save_weights(c.run / "generator.safetensors", self.averaged.module, about)
        self.accelerator.wait_for_everyone()

    def save(self) -> None:
        """Save the checkpoint (main process): networks, optimisers, EMA, step, running log means, config."""
        self._check_tally()
        self.accelerator.wait_for_everyone()
        self.saved = self.done
        if not self.accelerator.is_main_process:
            return
        state = {
            "config": asdict(self.config),
            "step": self.done,
            "networks": {k: self.accelerator.unwrap_model(n).state_dict() for k, n in self.networks.items()},
            "optimizers": {k: o.state_dict() for k, o in self.optimizers.items()},
            "averaged": self.averaged.state_dict() if self.averaged is not None else {},
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else {},
            "random": torch.get_rng_state(),
            "tally": self.tally.sums,
            "skipped": self.skipped.item(),
            "photos": self.photos,
        }
        save_checkpoint(self.path, state)

    def _check_photos(self, kind: str) -> None:
        """Refuse to resume with photos that changed since the checkpoint, since the order of the crops would differ."""
        before = (self.checkpoint or {}).get("photos", {}).get(kind)
        now, origin = self.photos[kind], self.sources.origin
        if before is not None and before != now:
            change = "names or sizes of files differ"
            if before["count"] != now["count"]:
                change = f"expected {before['count']} photos, got {now['count']}"
            raise ValueError(
                f"The {kind} photos of {origin} changed since {self.path} was written "
                f"at step {self.checkpoint['step']}: {change}. Restore them, or use another run folder."
            )
        if now["count"] == 0:
            raise ValueError(
                f"{origin}: expected {kind} photos for training, got none. data/README.md describes both layouts."
            )

    def _resume(self) -> None:
        """Restore the state of the checkpoint, if there is one."""
        if self.checkpoint is None:
            return
        state = self.checkpoint
        for name, network in self.networks.items():
            load_state(self.accelerator.unwrap_model(network), state["networks"][name], self.path)
            self.optimizers[name].load_state_dict(state["optimizers"][name])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        self.done = self.saved = state["step"]
        self.tally.sums = {k: v.to(self.device) for k, v in state.get("tally", {}).items()}
        self.skipped = torch.tensor(state.get("skipped", 0.0), device=self.device)


def run_precision(config: TrainConfig) -> str:
    """Return the precision of a run on this machine: "fp32", "bf16" or "fp16"."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    return resolve_precision(config.precision, device)


def destroy_process_group() -> None:
    """Destroy the process group, if there is one.

    Delete DDP modules first: their destructor joins a thread that may need the GIL.
    """
    gc.collect()
    PartialState().destroy_process_group()
