"""The state of a training run: networks, optimisers, averaged weights, logs; saved whole, resumed exactly."""

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
from ssdie.training.checkpoint import MovingAverage, load_checkpoint, save_checkpoint
from ssdie.training.config import STAGES, TrainConfig
from ssdie.training.log import Log, Tally
from ssdie.utils.devices import derive_seed, resolve_precision
from ssdie.utils.paths import lock_folder
from ssdie.utils.provenance import begin_manifest, current_commit, make_manifest

# settings that may differ between the runs that make and resume a checkpoint: they change no step already taken
RESUMABLE_CHANGES = {"run", "workers", "report_every", "save_every", "nonfinite"}


class Run:
    """What a loop of `ssdie.training.stages` holds in its hands.

    Args:
        config: of the run; if `config.run` holds a checkpoint, `steps` resumes it.
    """

    def __init__(self, config: TrainConfig):
        torch.manual_seed(config.seed)  # first weights
        self.any_precision = config.precision == "auto"
        self.config = config = replace(config, precision=run_precision(config))
        mixed = "no" if config.precision == "fp32" else config.precision
        self.accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=mixed)
        self.device = self.accelerator.device
        self.sources = find_photos(config.data)
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.averaged: MovingAverage | None = None
        self.done = self.saved = 0
        self.tally = Tally()
        self.sound = torch.ones((), dtype=torch.bool, device=self.device)  # all losses finite since the last update
        self.skipped = torch.zeros((), device=self.device)
        self.buffers: dict[str, list[torch.Tensor]] = {}  # after the last sound update
        self.commit = current_commit()
        self.photos = fingerprint(self.sources)
        self.checkpoint = self._read_checkpoint()

    @property
    def path(self) -> Path:
        """Where the checkpoint lies."""
        return self.config.run / "checkpoint.pt"

    def add(self, name: str, network: nn.Module) -> nn.Module:
        """Train `network`: move it to the device, give it an optimiser, average it if it is the generator."""
        c = self.config
        network = network.to(self.device, memory_format=torch.channels_last)
        if name == "generator":
            self.averaged = MovingAverage(network, c.ema)
        optimizer = torch.optim.Adam(network.parameters(), c.learning_rate, c.betas, fused=True)
        self.networks[name], self.optimizers[name] = self.accelerator.prepare(network, optimizer)
        return self.networks[name]

    def prepare_frozen(self, network: nn.Module) -> nn.Module:
        """Use a frozen network: on the device, in evaluation mode, in the run's precision."""
        network = network.requires_grad_(False).eval().to(self.device, memory_format=torch.channels_last)
        return self.accelerator.prepare_model(network, evaluation_mode=True)

    def teacher_output(self, image: torch.Tensor) -> torch.Tensor:
        """Enhance a batch by the averaged generator, in the run's precision."""
        with self.accelerator.autocast():
            return self.averaged.eval()(image).float()

    def batches(self, kind: str, offset: int = 0) -> Iterator[torch.Tensor]:
        """Endless batches of "clear" (with depth) or "dusty" photos on the device, from the step to be done next.

        Raises:
            ValueError: there are no such photos, or others than when the checkpoint was written.
        """
        c, a = self.config, self.accelerator
        self._check_photos(kind)
        crops = Crops(getattr(self.sources, kind), c.size, derive_seed(c.seed, STAGES.index(c.stage), offset))
        start = self.checkpoint["step"] if self.checkpoint else 0
        loaded = load_batches(crops, c.batch, start, c.workers, a.process_index, a.num_processes)
        return (batch.to(self.device, non_blocking=True) for batch in loaded)

    def steps(self) -> Iterator[int]:
        """Yield the steps that are left; save every `save_every` steps and after the last.

        Raises:
            BlockingIOError: another process trains in the same folder.
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
        """Seed everything random in a step; give the generator that weather and augmentation draw from."""
        rank = self.accelerator.process_index
        seed = derive_seed(self.config.seed, STAGES.index(self.config.stage), step, rank)
        torch.manual_seed(seed)  # dropout
        return torch.Generator().manual_seed(seed)

    def device_random(self, random: torch.Generator) -> torch.Generator:
        """Give a generator on the device, seeded by the next number of `random`."""
        return torch.Generator(self.device).manual_seed(int(torch.randint(2**62, (), generator=random)))

    def backward(self, terms: dict[str, torch.Tensor], weights: LossWeights | None = None) -> None:
        """Add the gradients of the weighted sum of the terms."""
        self._look(terms)
        total = sum(v * (getattr(weights, k) if weights else 1) for k, v in terms.items())
        self.sound = self.sound & total.detach().isfinite()
        self.accelerator.backward(total)

    def step(self, name: str) -> dict[str, torch.Tensor]:
        """Clip the gradient of a network, update it, clear the gradient; give its norm."""
        optimizer = self.optimizers[name]
        norm = torch.as_tensor(self.accelerator.clip_grad_norm_(self.networks[name].parameters(), self.config.clip))
        norms = {f"{name}_gradient": norm}
        self._look({} if self.accelerator.scaler else norms)
        if self.config.nonfinite == "skip":
            self._guard(name, norm)
        optimizer.step()
        optimizer.zero_grad()
        self.sound = torch.ones_like(self.sound)
        if name == "generator":
            self.averaged.update_parameters(self.accelerator.unwrap_model(self.networks[name]))
        return norms

    def _guard(self, name: str, norm: torch.Tensor) -> None:
        """Let the coming update change nothing where a loss or the gradient is not finite; the device decides, unasked.

        With fp16 the gradient is the scaler's to judge: it skips an update and lowers its scale as a matter of course.
        """
        sound = self.sound if self.accelerator.scaler else self.sound & norm.isfinite()
        if self.accelerator.num_processes > 1:
            sound = self.accelerator.reduce(sound.float(), "mean") == 1
        self.optimizers[name].optimizer.found_inf = (~sound).float()  # fused Adam then leaves weights and moments
        for buffer, kept in zip(self.networks[name].buffers(), self.buffers[name], strict=True):
            buffer.copy_(torch.where(sound, buffer, kept))
            kept.copy_(buffer)
        self.skipped = self.skipped + ~sound

    def report(self, step: int, terms: dict[str, torch.Tensor]) -> Iterator[dict[str, float]]:
        """Add up the terms; every `report_every` steps, log the means of what was finite and yield them.

        Raises:
            FloatingPointError: a term was not finite, and such steps are not to be skipped.
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

    def _look(self, values: dict[str, torch.Tensor]) -> None:
        """On a CPU, where a look is free, stop at the step itself; a GPU is asked when it reports or saves."""
        if self.config.nonfinite == "stop" and self.device.type == "cpu":
            for name, value in values.items():
                if not value.isfinite():
                    self._stop(name, self.done + 1)

    def _check_tally(self) -> None:
        """Stop where a term was not finite and the settings say so."""
        scaled = self.accelerator.scaler is not None  # then a gradient may overflow now and then
        firsts = {n: k for n, k in self.tally.firsts().items() if not (scaled and n.endswith("_gradient"))}
        if firsts and self.config.nonfinite == "stop":
            name = min(firsts, key=firsts.get)
            self._stop(name, firsts[name])

    def _stop(self, name: str, step: int) -> None:
        """Stop, with where to go on."""
        saved = f"{self.path}, of step {self.saved}" if self.saved else "none yet"
        raise FloatingPointError(
            f"Step {step} stopped: {name} is not finite. The last good checkpoint is {saved}. Take a lower learning "
            'rate in a new run folder, or resume with nonfinite "skip" (--nonfinite skip) to leave such updates out.'
        )

    def finish(self) -> None:
        """Write the averaged generator for release, close the log, wait for the other processes."""
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
        """Write networks, optimisers, averages, step, sums of the log and settings, from the main process."""
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

    def _read_checkpoint(self) -> dict | None:
        """The checkpoint in the run's folder, if any; refused if its settings are others."""
        if not self.path.is_file():
            return None
        checkpoint, config = load_checkpoint(self.path), asdict(self.config)
        theirs, ours = (_comparable(c) for c in (checkpoint["config"], config))
        if self.any_precision:
            ours.pop("precision")
        changed = [k for k in ours if ours[k] != theirs.get(k)]
        if changed:
            told = ", ".join(f"{k} was {theirs.get(k)} and is {ours[k]}" for k in changed)
            raise ValueError(f"{self.path} belongs to other settings ({told}); take another run folder or remove it.")
        return checkpoint

    def _check_photos(self, kind: str) -> None:
        """Refuse to go on with other photos than the checkpoint's: the order in which they come would be another."""
        before = (self.checkpoint or {}).get("photos", {}).get(kind)
        now, origin = self.photos[kind], self.sources.origin
        if before is not None and before != now:
            told = "names or sizes of files differ"
            if before["count"] != now["count"]:
                told = f"there were {before['count']} and are {now['count']}"
            raise ValueError(
                f"The {kind} photos of {origin} changed since {self.path} was written "
                f"at step {self.checkpoint['step']}: {told}; put them back, or take another run folder."
            )
        if now["count"] == 0:
            raise ValueError(
                f"{origin} holds no {kind} photos to train on, which this stage needs; see data/README.md for layouts."
            )

    def _resume(self) -> None:
        """Put the checkpoint's state in place."""
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


def _comparable(config: dict) -> dict:
    """Settings that make a difference, as text."""
    settings = {k: str(list(v) if isinstance(v, tuple) else v) for k, v in config.items() if k not in RESUMABLE_CHANGES}
    return settings | {"precision": resolve_precision(settings["precision"])}


def run_precision(config: TrainConfig) -> str:
    """Precision of a run on this machine: "fp32", "bf16" or "fp16"."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    return resolve_precision(config.precision, device)


def destroy_process_group() -> None:
    """Part from the other processes, if there are any.

    The networks have to be gone by then: the last that holds the group waits for its thread, which may need Python.
    """
    gc.collect()
    PartialState().destroy_process_group()
