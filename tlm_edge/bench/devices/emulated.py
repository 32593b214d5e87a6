"""A device that isn't there: its processor's instructions run by qemu-user, in the real arm64 runtimes.

Labels and instruction counts are those of the device's own code; latency is estimated and says so, wall time tells
nothing and is never recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tlm_edge.bench.devices import Address, Listing
from tlm_edge.bench.devices.local import read_outcome
from tlm_edge.bench.emulation.estimate import estimate
from tlm_edge.bench.emulation.machine import EmulatedMachine, emulated_machine, emulator_version, require_emulation
from tlm_edge.bench.emulation.observe import Observation
from tlm_edge.bench.job import Job
from tlm_edge.bench.machine import Machine, telling_features
from tlm_edge.bench.profiles import Cores, DeviceProfile, profile_names, profile_of
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE

_WORKER = ["-P", "-m", "tlm_edge.bench.worker"]


def listings(stored: Sequence[Address]) -> list[Listing]:
    """Every profile with cores that can be told apart, and whether this machine can emulate them."""
    profiles = [profile_of(name) for name in profile_names()]
    addresses = [Address(each.name, "emulated", profile=each.name) for each in profiles if each.cores]
    return [_listing(address) for address in (*addresses, *stored)]


def open_device(address: Address) -> EmulatedDevice:
    """The emulated device with the profile of ``address``, or else the profile of its name.

    Its userland and runtimes are fetched if the cache hasn't them. Raises ``UserError`` if it can't be emulated here.
    """
    profile = profile_of(address.profile or address.name)
    cores = fastest_cores(profile)
    require_emulation(cores)
    return EmulatedDevice(address.name, profile, cores, emulated_machine(cores))


def fastest_cores(profile: DeviceProfile) -> Cores:
    """The cores that are emulated. Raises ``UserError`` if the profile names none, or not what to emulate them by."""
    if not profile.cores:
        raise UserError(f"{profile.name} is {profile.title}: nothing to emulate it by, name a device or a profile file")
    cores = profile.cores[0]
    if cores.qemu is None or cores.mca is None:
        raise UserError(f"the profile {profile.name} names no qemu and mca for its {cores.type}: it can't be emulated")
    return cores


@dataclass(frozen=True)
class EmulatedDevice:
    """A profile's fastest cores under qemu-user."""

    name: str
    profile: DeviceProfile
    cores: Cores
    machine: EmulatedMachine
    transport: str = "emulated"
    #: How latency is told here; a device that doesn't say measures it.
    timing: Literal["estimated"] = "estimated"

    def place(self, bundle: Bundle) -> str:
        """The bundle's own folder: the emulated machine sees the host's files."""
        return str(bundle.folder.resolve())

    def work(self, job: Job) -> dict[str, Any]:
        """Run the worker on the emulated processor; for ``count`` jobs with ``counted`` and the memory, corrected.

        Raises ``UserError`` for a job that times, more threads than one, and see ``Device.work``.
        """
        if job.task == "latency":
            raise UserError("an emulated device can't be timed: its instructions are counted")
        if job.threads != 1:
            raise UserError(f"{self.name} is emulated, and latency estimated for one thread alone: use --threads 1")
        if job.task == "count":
            self._warm_up(job)
        status, output, errors, observation = self.machine.run(_WORKER, json.dumps(job.to_json()), 2 * job.counted)
        outcome = read_outcome(status, output, errors, job)
        assert observation is not None  # noqa: S101 (the worker ended well)
        # As it comes from a device: decoded JSON.
        told = json.loads(json.dumps(asdict(self._machine())))
        # Times and memory that the worker saw are the emulator's.
        kept = {key: value for key, value in outcome.items() if key in ("labels", "tokens", "runtime")}
        return kept | {"machine": told, **self._observed(observation, kept.get("tokens", []))}

    def keep(self) -> None:
        """Everything stays where it is anyway."""

    def close(self) -> None:
        """Nothing was changed."""

    def _warm_up(self, job: Job) -> None:
        """Have Python write its caches of the modules that a job imports, unless it has.

        The first process to import them executes more, and lays out memory otherwise, than all that come after it.
        """
        target = json.loads((Path(job.bundle) / MANIFEST_FILE).read_text(encoding="utf-8"))["target"]
        imported = "\n".join((str(self.machine.root), self.machine.runner.python_path, target))
        done = cache_root() / "emulation/warm" / hashlib.sha256(imported.encode()).hexdigest()[:16]
        if not done.exists():
            short = replace(job, texts=job.texts[:1], counted=0)
            self.machine.run(_WORKER, json.dumps(short.to_json()))
            done.parent.mkdir(parents=True, exist_ok=True)
            done.touch()

    def _observed(self, observation: Observation, tokens: Sequence[int]) -> dict[str, Any]:
        estimates = estimate(observation.regions, self.profile, self.cores)
        counted = [
            {
                "tokens": count,
                "tokenize_instructions": tokenize.instructions,
                "model_instructions": model.instructions,
                "model_touched_mb": round(model.touched_mb, 3),
                "tokenize_us": round(tokenize.microseconds, 2),
                "model_us": round(model.microseconds, 2),
            }
            for count, tokenize, model in zip(tokens, estimates[::2], estimates[1::2], strict=True)
        ]
        return {
            "emulator": emulator_version(),
            "processor": self.cores.qemu,
            "mhz": self.cores.mhz,
            "counted": counted,
            "bare_mb": observation.memory_mb[0],
            "peak_mb": observation.peak_mb,
        }

    def _machine(self) -> Machine:
        """The machine that the profile describes; what it doesn't tell is null."""
        return Machine(
            cpu=f"{self.profile.title}, {self.cores.type} at {self.cores.mhz} MHz, emulated",
            architecture="aarch64",
            cores=sum(cores.count for cores in self.profile.cores),
            usable_cores=1,
            memory_mb=None,
            system="Debian's arm64 userland",
            kernel=emulator_version(),
            python="{}.{}".format(*self.machine.python),
            features=telling_features(self.cores.features),
            virtual=True,
        )


def _listing(address: Address) -> Listing:
    try:
        profile = profile_of(address.profile or address.name)
        cores = fastest_cores(profile)
        require_emulation(cores)
    except UserError as error:
        return Listing(address, False, str(error))
    return Listing(address, True, f"{profile.title}: its {cores.type} emulated, latency estimated")
