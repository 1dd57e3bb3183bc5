"""Workers of a Ray cluster. The only place that imports Ray."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from seg_perception.errors import DeviceError

LOCAL = "local"
"""Address of a cluster on the cores of this machine, which ends with the program."""

_RETRIES = 3
"""How often a job is retried whose worker died."""

_STORE_BYTES = 100 * 2**20
"""Jobs and their results are small; by default Ray reserves a third of the memory."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class RayWorkers(Generic[_Job, _Result]):
    """Runs jobs on a Ray cluster; a context manager that disconnects and ends its jobs.

    Attributes:
        count: how many jobs run at the same time.
    """

    def __init__(
        self,
        address: str,
        run_job: Callable[[_Job], _Result],
        threads: int = 1,
        gpu: bool = False,
        cores: int | None = None,
    ) -> None:
        """Connect.

        Args:
            address: of the cluster, as for ray.init, or LOCAL.
            run_job: runs one job; a function of a module that the workers can import.
            threads: CPU cores per job.
            gpu: whether a job needs a GPU.
            cores: cores of a LOCAL cluster; None for all.

        Raises:
            DeviceError: Ray is not installed, the cluster does not answer, or no machine has enough cores or a GPU.
        """
        # No usage reports, no dashboard.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # By default Ray's workers run at the lowest priority, ten times slower on a busy machine; these get the
        # priority of a replay without Ray.
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
        self._work: Any = self._ray.remote(num_cpus=threads, num_gpus=int(gpu), max_retries=_RETRIES)(run_job)
        self._running: dict[Any, int] = {}

    def submit(self, number: int, job: _Job) -> None:
        """Queue a job for the next free worker; `wait` returns its result under its number."""
        self._running[self._work.remote(job)] = number

    def wait(self, seconds: float) -> tuple[int, _Result | None] | None:
        """Wait for the next finished job.

        Args:
            seconds: longest time to wait.

        Returns:
            Its number and what `run_job` returned, or None for that if its worker died on every attempt. None if no
            job finished in time.

        Raises:
            DeviceError: a worker cannot import `run_job`, or the job raised an unexpected error.
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
                "cluster, and resume with --resume."
            ) from None
        except self._ray.exceptions.RayError:
            return number, None

    def close(self) -> None:
        """Disconnect from the cluster; jobs that still run there end."""
        self._ray.shutdown()

    def __enter__(self) -> RayWorkers[_Job, _Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
