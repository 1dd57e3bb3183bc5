"""The request for a replay: input, output and settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seg_perception.inference.options import Backend
from seg_perception.model.card import Precision
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.settings.pipeline import PipelineSettings


@dataclass(frozen=True)
class ReplayRequest:
    """What to replay, with which settings, and where to write it.

    Attributes:
        source: a recording of any kind, as `open_recording` takes it.
        out: folder for result.mcap, summary.json and report.html; created if it does not exist.
        model: ONNX file; its card is next to it.
        matrix: cost matrix YAML.
        settings: of the pipeline.
        options: how to read the recording.
        threads: CPU threads of the engine; None for one per core.
        backend: that runs the network.
        precision: of TensorRT.
        resume: continue an interrupted run in `out`.
        command: the command line, for the report.
        started: time.monotonic() at the start of the program, for the time to the first result.
    """

    source: str
    out: Path
    model: Path
    matrix: Path
    settings: PipelineSettings
    options: SourceOptions
    threads: int | None
    backend: Backend
    precision: Precision
    resume: bool
    command: str
    started: float

    @property
    def result(self) -> Path:
        """The result bag."""
        return self.out / "result.mcap"

    @property
    def summary(self) -> Path:
        """Statistics of the run."""
        return self.out / "summary.json"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.out / "report.html"

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished run; removed at the end."""
        return self.out / "checkpoint.npz"

    @property
    def parts(self) -> Path:
        """Segments of an unfinished distributed run; removed at the end."""
        return self.out / "parts"
