"""An odom-anchored rolling grid that accumulates evidence of each class, cell by cell.

Every cell holds Dirichlet counts: one count is one frame with full visibility. Fusion over time happens here, on
probabilities. Risk is computed from the posterior and never averaged over time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap import kernels
from seg_perception.costmap.cell_risk import posterior, risk_of_cells
from seg_perception.costmap.decay import EvidenceDecay
from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.grid import GridSettings

NANOSECONDS = 1e9

NEVER = np.iinfo(np.int64).min
"""`seen_ns` of a cell that was never seen."""

MAX_LATENESS = 1.0
"""s. A frame may always arrive this much later than a newer one, such as that of another, faster camera."""

NEGLIGIBLE_COUNT = 1e-9
"""Counts below this become exactly 0. Halved for ever they would end as denormal floats, which are slow."""


class EvidenceGrid:
    """Class evidence around the robot.

    The origin is a whole number of cells away from odom's origin. So it cannot drift, and a cell keeps its position on
    the ground however often the grid moves.

    Attributes:
        settings: size, decay and thresholds.
        evidence: float32 [K + 1, rows, cols], counts as of `stamp_ns`; row is y, column is x (REP-103, odom). Classes
            come first so that every sum over classes runs over whole planes. The last plane is evidence of measured
            obstacles: obstacles and holes by their height whose pixels show no obstacle class.
        first_row: row of odom's cell lattice that is row 0 here.
        first_col: column of odom's cell lattice that is column 0 here.
        seen_ns: int64 [rows, cols], time of the newest frame that showed something of the cell, nanoseconds; NEVER
            where none did.
        stamp_ns: time of the newest frame seen, nanoseconds.
    """

    def __init__(self, settings: GridSettings, class_count: int, decay: EvidenceDecay | None = None) -> None:
        """Make an empty grid around odom's origin.

        Args:
            settings: size, decay and thresholds.
            class_count: K.
            decay: of the classes; None for the half-life of the settings for all of them.
        """
        self.settings = settings
        self._decay = decay or EvidenceDecay(settings.half_life)
        self.evidence = np.zeros((class_count + 1, settings.rows, settings.cols), dtype=np.float32)
        self.seen_ns = np.full((settings.rows, settings.cols), NEVER, dtype=np.int64)
        self.first_row = -(settings.rows // 2)
        self.first_col = -(settings.cols // 2)
        self.stamp_ns = 0

    @property
    def bounds(self) -> GridBounds:
        """Position and size of the grid."""
        return GridBounds(self.first_row, self.first_col, *self.evidence.shape[1:], self.settings.resolution)

    def bounds_at(self, x: float, y: float) -> GridBounds:
        """The bounds of the grid when it is centred on a point, in whole cells.

        Args:
            x: position in odom, m.
            y: position in odom, m.

        Raises:
            GeometryError: the position is not finite.
        """
        if not (math.isfinite(x) and math.isfinite(y)):
            raise GeometryError(f"the robot's position in odom is ({x}, {y}); the odometry must give finite numbers.")
        rows, cols, resolution = *self.evidence.shape[1:], self.settings.resolution
        return GridBounds(
            math.floor(y / resolution) - rows // 2, math.floor(x / resolution) - cols // 2, rows, cols, resolution
        )

    def is_late(self, stamp_ns: int) -> bool:
        """Whether a frame is older than the newest one, but not so old that time must have been set back.

        Args:
            stamp_ns: time of the frame, nanoseconds.
        """
        longest = max(self.settings.half_life, MAX_LATENESS) * NANOSECONDS
        return 0 < self.stamp_ns - stamp_ns <= longest

    def reconfigure(self, settings: GridSettings, decay: EvidenceDecay) -> None:
        """Use other settings from now on.

        Args:
            settings: with the same cells.
            decay: of the classes.

        Raises:
            ConfigError: the settings need other cells.
        """
        cells, wanted = ((each.rows, each.cols, each.resolution) for each in (self.settings, settings))
        if cells != wanted:
            raise ConfigError(
                f"grid.width, height and resolution ask for {wanted[0]} x {wanted[1]} cells of {wanted[2]} m in place "
                f"of {cells[0]} x {cells[1]} of {cells[2]} m; the evidence does not fit there, so start again."
            )
        self.settings = settings
        self._decay = decay

    def move_onto(self, bounds: GridBounds) -> None:
        """Move the grid; new cells are empty.

        Args:
            bounds: from `bounds_at`.
        """
        rows, columns = bounds.first_row - self.first_row, bounds.first_col - self.first_col
        if rows or columns:
            kernels.shift(self.evidence, rows, columns, 0.0)
            kernels.shift(self.seen_ns[np.newaxis], rows, columns, NEVER)
            self.first_row, self.first_col = bounds.first_row, bounds.first_col

    def advance(self, stamp_ns: int) -> None:
        """Decay the evidence to a later time; an earlier time changes nothing.

        Args:
            stamp_ns: time, nanoseconds.
        """
        if stamp_ns <= self.stamp_ns:
            return
        self.evidence *= np.float32(self._decay.factor(self.evidence, (stamp_ns - self.stamp_ns) / NANOSECONDS))
        sweep_ns = self._decay.shortest * NANOSECONDS
        if stamp_ns // sweep_ns != self.stamp_ns // sweep_ns:  # once per half-life is enough
            self.evidence[self.evidence < NEGLIGIBLE_COUNT] = 0.0
        self.stamp_ns = stamp_ns

    def add(
        self,
        points: NDArray[np.float64],
        probabilities: NDArray[np.float32],
        weights: NDArray[np.float32],
        stamp_ns: int,
    ) -> None:
        """Fuse the ground samples of one frame.

        The samples of one frame in one cell share light, blur and pose error. So together they are one observation: a
        cell gains their weighted mean probability times min(1, sum of weights), at most one count.

        With `clearing`, the observation first reduces the evidence of obstacles that have gone (`EvidenceDecay.clear`).
        It does not do so in cells that a frame of the same or a later time has shown.

        Where heights were not measured (K columns), cells with evidence of a measured obstacle stay as they are. The
        image shows no obstacle class there, so it cannot say that the obstacle has gone.

        A frame older than the newest one counts as much as if it had arrived in time, so the order of frames does not
        matter. (There are two small exceptions: half-lives of single classes, because the cell decays by what it holds
        in the meantime; and clearing, which a late frame does not do.) A frame older by more than the half-life means
        that time was set back: a recording was restarted, or a simulation was reset. Then the grid starts empty.

        Args:
            points: float64 [M, 2], (x, y) in odom, m. Points outside the grid are left out.
            probabilities: float32 [M, K], or [M, K + 1] with that of an obstacle last, where heights were measured.
                Samples that are not finite are left out.
            weights: float32 [M], 0 (hidden) to 1 (fully visible).
            stamp_ns: time of the frame, nanoseconds.
        """
        if stamp_ns < self.stamp_ns and not self.is_late(stamp_ns):
            self.evidence[:] = 0.0
            self.seen_ns[:] = NEVER
            self.stamp_ns = stamp_ns
        self.advance(stamp_ns)
        evidence, seen_ns = self.evidence.reshape(self.evidence.shape[0], -1), self.seen_ns.ravel()
        outcomes, shape = probabilities.shape[1], self.seen_ns.shape
        is_measured = evidence[-1] > 0
        closed = is_measured if outcomes < len(evidence) else np.zeros_like(is_measured)
        cells, observations = np.empty(len(points), np.int64), np.empty((len(points), outcomes))
        samples, corner = (points, probabilities, weights), (self.first_row, self.first_col)
        count = kernels.accumulate_observations(
            *samples, self.settings.resolution, corner, shape, closed, cells, observations
        )
        cells, observations = cells[:count], observations[:count]
        if self.settings.clearing:
            newer = seen_ns[cells] < stamp_ns
            held = evidence[:, cells[newer]]
            self._decay.clear(held, observations[newer].T, self.settings.clearing)
            evidence[:, cells[newer]] = held
        if stamp_ns < self.stamp_ns:
            factor = self._decay.factor(observations.T, (self.stamp_ns - stamp_ns) / NANOSECONDS)
            observations *= np.asarray(factor)[..., np.newaxis]
        kernels.add_counts(evidence, cells, observations)
        seen_ns[cells] = np.maximum(seen_ns[cells], stamp_ns)

    def clear(self, cells: NDArray[np.bool_]) -> None:
        """Empty single cells.

        Args:
            cells: bool [rows, cols], the cells to empty.
        """
        self.evidence[:, cells] = 0.0
        self.seen_ns[cells] = NEVER

    def posterior(self, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Posterior class probabilities, and where they are known; see `cell_risk.posterior`."""
        return posterior(self.evidence, self.settings, matrix)

    def costs(self, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Risk of driving over each cell, and where it is known; see `cell_risk.risk_of_cells`."""
        return risk_of_cells(self.evidence, self.settings, matrix)

    def age(self) -> NDArray[np.float32]:
        """Time since something of each cell was seen, as of `stamp_ns`: float32 [rows, cols], s; inf where never."""
        seen = self.seen_ns != NEVER
        age: NDArray[np.float32] = np.full(seen.shape, np.inf, dtype=np.float32)
        age[seen] = (self.stamp_ns - self.seen_ns[seen]) / NANOSECONDS
        return age

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The state of the grid, as arrays that np.savez keeps exactly."""
        return {
            "evidence": self.evidence.copy(),
            "seen_ns": self.seen_ns.copy(),
            "first_cell": np.array([self.first_row, self.first_col], dtype=np.int64),
            "stamp_ns": np.array(self.stamp_ns, dtype=np.int64),
        }

    @classmethod
    def from_arrays(
        cls, settings: GridSettings, arrays: Mapping[str, NDArray[Any]], decay: EvidenceDecay | None = None
    ) -> EvidenceGrid:
        """The grid that `to_arrays` described.

        Args:
            settings: the same settings as then.
            arrays: what `to_arrays` gave, or an opened .npz file of it.
            decay: the same as then.

        Returns:
            A grid that continues exactly as the saved one would have.

        Raises:
            ConfigError: the saved grid has another size than the settings ask for.
        """
        evidence = arrays["evidence"]
        if evidence.shape[1:] != (settings.rows, settings.cols):
            raise ConfigError(
                f"the saved grid has {evidence.shape[1]} x {evidence.shape[2]} cells and the settings ask for "
                f"{settings.rows} x {settings.cols}; use the settings it was saved with or start again."
            )
        grid = cls(settings, evidence.shape[0] - 1, decay)
        grid.evidence[:], grid.seen_ns[:] = evidence, arrays["seen_ns"]
        grid.first_row, grid.first_col = (int(index) for index in arrays["first_cell"])
        grid.stamp_ns = int(arrays["stamp_ns"])
        return grid
