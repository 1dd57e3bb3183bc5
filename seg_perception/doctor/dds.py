"""Checks of DDS: whether profile and shared memory allow large images."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from seg_perception.doctor.finding import Finding, note, ok, problem, size
from seg_perception.utils.package_files import share_dir

DEFAULT_SEGMENT = 512 * 1024
"""Shared memory of a Fast DDS publisher by default, bytes."""

_OLD, _NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_OLD_DISTROS = ("foxy", "galactic", "humble", "iron", "jazzy")
_FULL_HD = 1920 * 1080 * 3  # bytes of the largest common image
_SMALL = 256 * 2**20  # bytes of /dev/shm; containers have 64 MB by default
_MIN_FREE = 32 * 2**20  # bytes


def profile_variable(distro: str) -> str:
    """The environment variable with the path of the Fast DDS profile; Fast DDS 3 (from Kilted on) renamed it."""
    return _OLD if distro in _OLD_DISTROS else _NEW


def shipped_profile() -> Path:
    """The profile for large images that comes with the package."""
    return share_dir() / "config" / "dds" / "fastdds_large_images.xml"


def profile(distro: str, rmw: str, environ: Mapping[str, str]) -> Finding:
    """Check whether programs with this environment can publish large images.

    Args:
        distro: ROS distribution; empty if unknown.
        rmw: name of the RMW implementation.
        environ: the environment.
    """
    if "fastrtps" not in rmw:
        return note("DDS profile", f"not checked for {rmw}", "docs/how_to/doctor.md explains what large images need")
    variable = profile_variable(distro)
    other = _NEW if variable == _OLD else _OLD
    fix = f"export {variable}={shipped_profile()}"
    transports = environ.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if transports.startswith("LARGE_DATA") and environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") != "LOCALHOST":
        return ok("FASTDDS_BUILTIN_TRANSPORTS", f"{transports}, which sends large images by TCP")
    if not environ.get(variable):
        also = f"; {other} is, which {distro or 'this ROS'} does not read" if environ.get(other) else ""
        return note(
            variable,
            f"not set{also}: programs started here can send {size(DEFAULT_SEGMENT)} at once, no large images",
            fix,
        )
    path = Path(environ[variable])
    try:
        segment = segment_size(path)
    except OSError as error:
        return problem(variable, f"{path}: {error.strerror}", fix)
    except ElementTree.ParseError as error:
        return problem(variable, f"{path}: is not XML ({error})", fix)
    except ValueError as error:
        return problem(variable, f"{path}: segment_size is not a whole number ({error})", fix)
    if segment < _FULL_HD:
        return note(variable, f"{path}: {size(segment)} of shared memory are too little for large images", fix)
    return ok(variable, f"{path}: {size(segment)} of shared memory")


def segment_size(path: Path) -> int:
    """Shared memory that a Fast DDS profile gives to a default participant, bytes.

    Raises:
        OSError: the file cannot be read.
        ElementTree.ParseError: it is not XML.
        ValueError: the size of a segment is not a whole number.
    """
    root = ElementTree.fromstring(path.read_bytes())
    sizes = {}
    for transport in root.iterfind(".//{*}transport_descriptor"):
        if _text(transport, "type").upper() == "SHM":
            sizes[_text(transport, "transport_id")] = int(_text(transport, "segment_size") or DEFAULT_SEGMENT)
    used = [
        _stripped(transport)
        for participant in root.iterfind(".//{*}participant")
        if participant.get("is_default_profile") == "true"
        for transport in participant.iterfind("{*}rtps/{*}userTransports/{*}transport_id")
    ]
    return max((sizes[name] for name in used if name in sizes), default=DEFAULT_SEGMENT)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check whether there is room for the segments of all participants.

    Args:
        folder: where shared memory is mounted.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return note(str(folder), f"{error.strerror}: DDS falls back to sockets")
    segments = len(list(folder.glob("fast*")))
    found = f"{size(usage.free)} of {size(usage.total)} free, files of Fast DDS: {segments}"
    if usage.free < _MIN_FREE:
        fix = f"stop unneeded processes; while no ROS process runs, rm {folder}/fast* removes files of killed ones"
        return problem(str(folder), f"{found}: images will be lost", fix)
    if usage.total < _SMALL:
        return note(str(folder), found, "in a container: --shm-size=1g, or --ipc=host to share it with the camera's")
    return ok(str(folder), found)


def _text(element: ElementTree.Element, name: str) -> str:
    return _stripped(element.find(f"{{*}}{name}"))


def _stripped(element: ElementTree.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()
