"""Workers of a Ray cluster. The only place that imports Ray."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from seg_perception.errors import DeviceError

LOCAL = "local"
"""Address that stands for a cluster of this machine's own cores, which ends with the program."""

_RETRIES = 3
"""How often a job is begun again whose worker died."""

_STORE_BYTES = 100 * 2**20
"""Jobs and what they return are small; Ray would set a third of the memory aside."""

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


class RayWorkers(Generic[_Job, _Done]):
    """A context manager that connects to a cluster, and ends what it started there.

    Attributes:
        count: how many jobs run at a time.
    """

    def __init__(
        self, address: str, work: Callable[[_Job], _Done], threads: int = 1, gpu: bool = False, cores: int | None = None
    ) -> None:
        """Connect.

        Args:
            address: of the cluster, as ray.init takes it, or LOCAL.
            work: does one job; a function of a module that the workers can import.
            threads: CPU cores that a job takes.
            gpu: whether it takes a GPU, too.
            cores: how many of this machine's a LOCAL cluster has; None for all.

        Raises:
            DeviceError: Ray is not installed, the cluster does not answer, or none of its machines is large enough.
        """
        # Nothing is reported to anybody, nothing is opened that a browser could look at.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Ray's workers stand back behind everything else, ten times slower on a machine with other work; these are to
        # have what a replay without Ray has.
        os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            self._ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            raise DeviceError(
                f"--ray needs Ray ({error.name} is missing); install it with: pip install 'seg_perception[ray]'."
            ) from None
        local = {"include_dashboard": False, "object_store_memory": _STORE_BYTES, "num_cpus": cores}
        own = local if address == LOCAL else {}
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # a cluster fails to answer in many ways
            reason = f"{error}".strip().splitlines()[0].rstrip(".") if f"{error}".strip() else type(error).__name__
            raise DeviceError(
                f"--ray {address}: no Ray cluster answers there ({reason}); start one with 'ray start --head' and give "
                "its HOST:PORT, or leave the address out for the cores of this machine."
            ) from None
        kind, each = ("GPU", 1) if gpu else ("CPU", threads)
        self.count = sum(int(node["Resources"].get(kind, 0) // each) for node in self._ray.nodes() if node["Alive"])
        if not self.count:
            self.close()
            raise DeviceError(
                f"--ray {address}: no machine of the cluster has {each} {kind}{'s' * (each > 1)} for a worker; "
                "give fewer --threads, another --backend, or add machines."
            )
        self._work: Any = self._ray.remote(num_cpus=threads, num_gpus=int(gpu), max_retries=_RETRIES)(work)
        self._running: dict[Any, int] = {}

    def submit(self, number: int, job: _Job) -> None:
        """Hand a job to the next worker that is free; `wait` tells what came of it under its number."""
        self._running[self._work.remote(job)] = number

    def wait(self, seconds: float) -> tuple[int, _Done | None] | None:
        """The next job that is finished.

        Args:
            seconds: how long to wait.

        Returns:
            Its number, and what `work` returned: None where its worker died again and again. Or None, when the time is
            over.

        Raises:
            DeviceError: `work` cannot be imported there, or failed in a way that it does not foresee.
        """
        ready, _ = self._ray.wait(list(self._running), timeout=seconds)
        if not ready:
            return None
        number = self._running.pop(ready[0])
        try:
            return number, self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            raise DeviceError(
                f"--ray: a worker failed ({error.cause!r}); install the same seg_perception on every machine of the "
                "cluster, and go on with --resume."
            ) from None
        except self._ray.exceptions.RayError:
            return number, None

    def close(self) -> None:
        """Leave the cluster; what still runs for us there is ended."""
        self._ray.shutdown()

    def __enter__(self) -> RayWorkers[_Job, _Done]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
