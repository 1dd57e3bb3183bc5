"""A time-indexed transform tree that needs no ROS."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from seg_perception.errors import GeometryError
from seg_perception.geometry.transforms import Transform, interpolate


@dataclass
class _Edge:
    """One parent-child link: either static, or samples in the order of their stamps."""

    parent: str
    static: Transform | None = None
    stamps: list[int] = field(default_factory=list)
    transforms: list[Transform] = field(default_factory=list)


class TransformBuffer:
    """A transform tree with lookup at any stamp between its samples. It never extrapolates.

    Samples may arrive in any order; of two with the same stamp the first is kept, as tf2 does. A static transform
    has precedence over samples of the same link, whichever came first. A leading '/' in frame names (ROS 1) is dropped.

    Args:
        keep_ns: age, relative to the newest sample of its link, from which a sample is dropped; None keeps all.
    """

    def __init__(self, keep_ns: int | None = None) -> None:
        self._keep_ns = keep_ns
        self._edges: dict[str, _Edge] = {}

    def add_static(self, parent: str, child: str, parent_from_child: Transform) -> None:
        """Add a transform that holds at all times; a later one for the same link replaces it.

        Raises:
            GeometryError: an empty name, a child with two parents, or a loop.
        """
        edge = self._edge(parent, child)
        edge.static = parent_from_child
        edge.stamps, edge.transforms = [], []

    def add(self, parent: str, child: str, stamp_ns: int, parent_from_child: Transform) -> None:
        """Add a sample at a stamp in nanoseconds; raises as `add_static` does."""
        edge = self._edge(parent, child)
        if edge.static is not None:
            return
        index = bisect_left(edge.stamps, stamp_ns)
        if index < len(edge.stamps) and edge.stamps[index] == stamp_ns:
            return
        edge.stamps.insert(index, stamp_ns)
        edge.transforms.insert(index, parent_from_child)
        if self._keep_ns is not None:
            too_old = bisect_left(edge.stamps, edge.stamps[-1] - self._keep_ns)
            del edge.stamps[:too_old], edge.transforms[:too_old]

    def frames(self) -> set[str]:
        """The names of all frames, parents and children."""
        return set(self._edges) | {edge.parent for edge in self._edges.values()}

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """`target_from_source` at a stamp, interpolated between the neighbouring samples of every link on the path.

        Raises:
            GeometryError: a frame is unknown, the two are not connected, or a link has no samples on both sides of
                the stamp; the message names the frames, the stamp and the available span.
        """
        target, source = _plain(target), _plain(source)
        for frame in (target, source):
            if frame not in self.frames():
                known = ", ".join(sorted(self.frames())) or "none"
                raise GeometryError(f"there is no frame '{frame}' among the transforms; known frames: {known}.")
        target_line, source_line = self._ancestry(target), self._ancestry(source)
        common = next((frame for frame in source_line if frame in target_line), None)
        if common is None:
            raise GeometryError(
                f"no transforms connect '{source}' to '{target}': the tree of the first ends at '{source_line[-1]}', "
                f"that of the second at '{target_line[-1]}'; record or add a transform between the two."
            )
        common_from_target = self._climb(target_line[: target_line.index(common)], stamp_ns)
        common_from_source = self._climb(source_line[: source_line.index(common)], stamp_ns)
        return common_from_target.inverse() @ common_from_source

    def _edge(self, parent: str, child: str) -> _Edge:
        parent, child = _plain(parent), _plain(child)
        edge = self._edges.get(child)
        if edge is None:
            if child in self._ancestry(parent):
                raise GeometryError(f"the transform from '{child}' to '{parent}' closes a loop; remove one link of it.")
            edge = self._edges[child] = _Edge(parent)
        elif edge.parent != parent:
            raise GeometryError(
                f"frame '{child}' is published with two parents, '{edge.parent}' and '{parent}'; "
                "keep one of the two publishers."
            )
        return edge

    def _ancestry(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to the root."""
        line = [frame]
        while (edge := self._edges.get(line[-1])) is not None:
            line.append(edge.parent)
        return line

    def _climb(self, line: list[str], stamp_ns: int) -> Transform:
        """From the first frame of the line to the parent of its last one."""
        total = Transform.identity()
        for child in line:
            total = self._sample(child, stamp_ns) @ total
        return total

    def _sample(self, child: str, stamp_ns: int) -> Transform:
        edge = self._edges[child]
        if edge.static is not None:
            return edge.static
        after = bisect_left(edge.stamps, stamp_ns)
        if after < len(edge.stamps) and edge.stamps[after] == stamp_ns:
            return edge.transforms[after]
        if after in (0, len(edge.stamps)):
            raise GeometryError(
                f"the transform from '{child}' to '{edge.parent}' is not known at {_seconds(stamp_ns)}: its "
                f"{len(edge.stamps)} samples span {_seconds(edge.stamps[0])} to {_seconds(edge.stamps[-1])}; "
                "use images within that span or record the transforms for longer."
            )
        before_ns, after_ns = edge.stamps[after - 1], edge.stamps[after]
        fraction = (stamp_ns - before_ns) / (after_ns - before_ns)
        return interpolate(edge.transforms[after - 1], edge.transforms[after], fraction)


def _plain(frame: str) -> str:
    name = frame.lstrip("/")
    if not name:
        raise GeometryError("a transform has an empty frame name; fill in its header.frame_id and child_frame_id.")
    return name


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} s"
