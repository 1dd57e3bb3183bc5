"""An odom-anchored rolling grid that remembers, cell by cell, how much was seen of each class.

Every cell holds Dirichlet counts: one count is one frame's worth of clear sight. Fusing happens here, on
probabilities; risk is computed from the posterior, never averaged over time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap import kernels
from seg_perception.costmap.cell_risk import posterior, risk_of_cells
from seg_perception.costmap.decay import ClassMemory
from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.grid import GridSettings

NANOSECONDS = 1e9

NEVER = np.iinfo(np.int64).min
"""Time at which a cell was seen that was not."""

MOST_LATENESS = 1.0
"""A frame may always come so many seconds later than a newer one: another camera's, on a slower way."""

FORGOTTEN = 1e-9
"""Counts below this become exactly 0: halved for ever, they would end as denormal floats, which are slow."""


class EvidenceGrid:
    """Class evidence around the robot.

    The origin is kept as a whole number of cells from odom's origin, so it cannot drift and a cell keeps its place on
    the ground however often the grid moves.

    Attributes:
        settings: size and memory.
        evidence: float32 [K + 1, rows, cols], counts as of `stamp_ns`; row is y, column is x (REP-103, odom). Classes
            come first so that every sum over classes runs over whole planes. The last plane is evidence of obstacles
            that only their height gave away: what stands up or drops off and shows a class that does not stand.
        first_row: row of odom's cell raster that is row 0 here.
        first_col: column of odom's cell raster that is column 0 here.
        seen_ns: int64 [rows, cols], time of the newest frame that showed something of the cell, nanoseconds; NEVER
            where none did.
        stamp_ns: time of the newest frame seen, nanoseconds.
    """

    def __init__(self, settings: GridSettings, class_count: int, memory: ClassMemory | None = None) -> None:
        """Make an empty grid around odom's origin.

        Args:
            settings: size and memory.
            class_count: K.
            memory: what the settings mean for the classes; None for the same half-life for all.
        """
        self.settings = settings
        self._memory = memory or ClassMemory(settings.half_life)
        self.evidence = np.zeros((class_count + 1, settings.rows, settings.cols), dtype=np.float32)
        self.seen_ns = np.full((settings.rows, settings.cols), NEVER, dtype=np.int64)
        self.first_row = -(settings.rows // 2)
        self.first_col = -(settings.cols // 2)
        self.stamp_ns = 0

    @property
    def raster(self) -> Raster:
        """Where the grid lies now."""
        return Raster(self.first_row, self.first_col, *self.evidence.shape[1:], self.settings.resolution)

    def raster_at(self, x: float, y: float) -> Raster:
        """Where the grid would lie, centred on a point in whole cells.

        Args:
            x: position in odom, m.
            y: position in odom, m.

        Raises:
            GeometryError: the position is not finite.
        """
        if not (math.isfinite(x) and math.isfinite(y)):
            raise GeometryError(f"the robot's position in odom is ({x}, {y}); the odometry must give finite numbers.")
        rows, cols, resolution = *self.evidence.shape[1:], self.settings.resolution
        return Raster(
            math.floor(y / resolution) - rows // 2, math.floor(x / resolution) - cols // 2, rows, cols, resolution
        )

    def is_late(self, stamp_ns: int) -> bool:
        """Whether a frame is older than the newest one, and yet not so old that time must have been set back.

        Args:
            stamp_ns: time of the frame, nanoseconds.
        """
        longest = max(self.settings.half_life, MOST_LATENESS) * NANOSECONDS
        return 0 < self.stamp_ns - stamp_ns <= longest

    def change(self, settings: GridSettings, memory: ClassMemory) -> None:
        """Remember from now on as these settings say.

        Args:
            settings: with the same cells.
            memory: what they mean for the classes.

        Raises:
            ConfigError: they ask for other cells.
        """
        cells, wanted = ((each.rows, each.cols, each.resolution) for each in (self.settings, settings))
        if cells != wanted:
            raise ConfigError(
                f"grid.width, height and resolution ask for {wanted[0]} x {wanted[1]} cells of {wanted[2]} m in place "
                f"of {cells[0]} x {cells[1]} of {cells[2]} m; what was seen does not fit there, so start anew."
            )
        self.settings = settings
        self._memory = memory

    def move_onto(self, raster: Raster) -> None:
        """Let the grid lie elsewhere; cells that come into it are empty.

        Args:
            raster: from `raster_at`.
        """
        rows, columns = raster.first_row - self.first_row, raster.first_col - self.first_col
        if rows or columns:
            kernels.shift(self.evidence, rows, columns, 0.0)
            kernels.shift(self.seen_ns[np.newaxis], rows, columns, NEVER)
            self.first_row, self.first_col = raster.first_row, raster.first_col

    def advance(self, stamp_ns: int) -> None:
        """Let evidence age to a later time; an earlier one changes nothing.

        Args:
            stamp_ns: time, nanoseconds.
        """
        if stamp_ns <= self.stamp_ns:
            return
        self.evidence *= np.float32(self._memory.left(self.evidence, (stamp_ns - self.stamp_ns) / NANOSECONDS))
        sweep_ns = self._memory.shortest * NANOSECONDS
        if stamp_ns // sweep_ns != self.stamp_ns // sweep_ns:  # once a half-life is soon enough
            self.evidence[self.evidence < FORGOTTEN] = 0.0
        self.stamp_ns = stamp_ns

    def add(
        self,
        points: NDArray[np.float64],
        probabilities: NDArray[np.float32],
        weights: NDArray[np.float32],
        stamp_ns: int,
    ) -> None:
        """Fuse the ground samples of one frame.

        The samples of one frame that fall into one cell share the frame's light, blur and pose error, so they are one
        look and not many: a cell gains their weighted mean probability times min(1, sum of weights), at most one count.

        Where the settings ask for clearing, the look first takes away standing things that it shows to have gone
        (`ClassMemory.clear`), unless a frame as new has shown something of the cell: what that one saw is not undone.

        Where heights were not measured (K columns), cells that hold evidence of an obstacle are left alone: it shows no
        class that an image could tell, so an image without heights cannot say that it is gone.

        A frame older than the newest one counts as much as it would have, had it come in time; so the order of frames
        does not matter. (It does a little where classes have half-lives of their own, for what a cell forgets while one
        frame overtakes the other, and with clearing, which a late frame does not do.) A frame older by more than the
        half-life means that time was set back (a recording started again, a simulation was reset): what the grid holds
        is then of another time, and it starts empty.

        Args:
            points: float64 [M, 2], (x, y) in odom, m. Points outside the grid are left out.
            probabilities: float32 [M, K], or [M, K + 1] with that of an obstacle last, where heights were measured.
                Samples that are not finite are left out.
            weights: float32 [M], 0 (not seen) to 1 (clear sight).
            stamp_ns: time of the frame, nanoseconds.
        """
        if stamp_ns < self.stamp_ns and not self.is_late(stamp_ns):
            self.evidence[:] = 0.0
            self.seen_ns[:] = NEVER
            self.stamp_ns = stamp_ns
        self.advance(stamp_ns)
        evidence, seen_ns = self.evidence.reshape(self.evidence.shape[0], -1), self.seen_ns.ravel()
        outcomes, shape = probabilities.shape[1], self.seen_ns.shape
        told_by_height = evidence[-1] > 0
        closed = told_by_height if outcomes < len(evidence) else np.zeros_like(told_by_height)
        cells, look = np.empty(len(points), np.int64), np.empty((len(points), outcomes))
        samples, corner = (points, probabilities, weights), (self.first_row, self.first_col)
        count = kernels.book(*samples, self.settings.resolution, corner, shape, closed, cells, look)
        cells, look = cells[:count], look[:count]
        if self.settings.clearing:
            newer = seen_ns[cells] < stamp_ns
            here, shown = cells[newer], look[newer]
            held = evidence[:, here]
            self._memory.clear(held, shown.T, self.settings.clearing)
            evidence[:, here] = held
        if stamp_ns < self.stamp_ns:
            left = self._memory.left(look.T, (self.stamp_ns - stamp_ns) / NANOSECONDS)
            look *= np.asarray(left)[..., np.newaxis]
        kernels.gain(evidence, cells, look)
        seen_ns[cells] = np.maximum(seen_ns[cells], stamp_ns)

    def forget(self, cells: NDArray[np.bool_]) -> None:
        """Empty single cells.

        Args:
            cells: bool [rows, cols], those to be emptied.
        """
        self.evidence[:, cells] = 0.0
        self.seen_ns[cells] = NEVER

    def posterior(self, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What each cell may be, and where that is known; see `pricing.posterior`."""
        return posterior(self.evidence, self.settings, matrix)

    def costs(self, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Risk of driving over each cell, and where it is known; see `pricing.risk_of_cells`."""
        return risk_of_cells(self.evidence, self.settings, matrix)

    def age(self) -> NDArray[np.float32]:
        """Time since something of each cell was seen, as of `stamp_ns`: float32 [rows, cols], s; inf where never."""
        seen = self.seen_ns != NEVER
        age: NDArray[np.float32] = np.full(seen.shape, np.inf, dtype=np.float32)
        age[seen] = (self.stamp_ns - self.seen_ns[seen]) / NANOSECONDS
        return age

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything the grid remembers, as arrays that np.savez keeps exactly."""
        return {
            "evidence": self.evidence.copy(),
            "seen_ns": self.seen_ns.copy(),
            "first_cell": np.array([self.first_row, self.first_col], dtype=np.int64),
            "stamp_ns": np.array(self.stamp_ns, dtype=np.int64),
        }

    @classmethod
    def from_arrays(
        cls, settings: GridSettings, arrays: Mapping[str, NDArray[Any]], memory: ClassMemory | None = None
    ) -> EvidenceGrid:
        """The grid that `to_arrays` described.

        Args:
            settings: the same settings as then.
            arrays: what `to_arrays` gave, or an opened .npz file of it.
            memory: the same as then.

        Returns:
            A grid that goes on exactly as the saved one would have.

        Raises:
            ConfigError: the saved grid has another size than the settings ask for.
        """
        evidence = arrays["evidence"]
        if evidence.shape[1:] != (settings.rows, settings.cols):
            raise ConfigError(
                f"the saved grid has {evidence.shape[1]} x {evidence.shape[2]} cells and the settings ask for "
                f"{settings.rows} x {settings.cols}; use the settings it was saved with or start anew."
            )
        grid = cls(settings, evidence.shape[0] - 1, memory)
        grid.evidence[:], grid.seen_ns[:] = evidence, arrays["seen_ns"]
        grid.first_row, grid.first_col = (int(index) for index in arrays["first_cell"])
        grid.stamp_ns = int(arrays["stamp_ns"])
        return grid
