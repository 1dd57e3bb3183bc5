"""Whether large images fit through DDS: profile, shared memory."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from seg_perception.doctor.finding import Finding, note, ok, problem, size
from seg_perception.utils.package_files import share_dir

SEGMENT = 512 * 1024
"""Bytes of shared memory that a Fast DDS publisher has unless told otherwise."""

_OLD, _NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_OLD_DISTROS = ("foxy", "galactic", "humble", "iron", "jazzy")
_FULL_HD = 1920 * 1080 * 3  # bytes of the largest image that is common
_SMALL = 256 * 2**20  # bytes of /dev/shm; containers have 64 MB unless told otherwise
_FULL = 32 * 2**20


def profile_variable(distro: str) -> str:
    """The environment variable that names Fast DDS's profile: Fast DDS 3, from Kilted on, has another than 2."""
    return _OLD if distro in _OLD_DISTROS else _NEW


def shipped_profile() -> Path:
    """The profile for large images that comes with the package."""
    return share_dir() / "config" / "dds" / "fastdds_large_images.xml"


def profile(distro: str, rmw: str, environ: Mapping[str, str]) -> Finding:
    """Whether programs that start with this environment can publish large images.

    Args:
        distro: ROS distribution; empty if unknown.
        rmw: name of the RMW implementation.
        environ: the environment.
    """
    if "fastrtps" not in rmw:
        return note("DDS profile", f"not checked for {rmw}", "docs/how_to/doctor.md tells what large images need")
    variable = profile_variable(distro)
    other = _NEW if variable == _OLD else _OLD
    mend = f"export {variable}={shipped_profile()}"
    transports = environ.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if transports.startswith("LARGE_DATA") and environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") != "LOCALHOST":
        return ok("FASTDDS_BUILTIN_TRANSPORTS", f"{transports}, which sends large images by TCP")
    if not environ.get(variable):
        also = f"; {other} is, which {distro or 'this ROS'} does not read" if environ.get(other) else ""
        return note(
            variable, f"not set{also}: what is started here can send {size(SEGMENT)} at once, no large images", mend
        )
    path = Path(environ[variable])
    try:
        segment = segment_size(path)
    except OSError as error:
        return problem(variable, f"{path}: {error.strerror}", mend)
    except ElementTree.ParseError as error:
        return problem(variable, f"{path}: is no XML ({error})", mend)
    except ValueError as error:
        return problem(variable, f"{path}: segment_size is no whole number ({error})", mend)
    if segment < _FULL_HD:
        return note(variable, f"{path}: {size(segment)} of shared memory are too few for large images", mend)
    return ok(variable, f"{path}: {size(segment)} of shared memory")


def segment_size(path: Path) -> int:
    """Bytes of shared memory that a Fast DDS profile gives to a participant by default.

    Raises:
        OSError: the file cannot be read.
        ElementTree.ParseError: it is no XML.
        ValueError: a segment's size is no whole number.
    """
    root = ElementTree.fromstring(path.read_bytes())
    sizes = {}
    for transport in root.iterfind(".//{*}transport_descriptor"):
        if _text(transport, "type").upper() == "SHM":
            sizes[_text(transport, "transport_id")] = int(_text(transport, "segment_size") or SEGMENT)
    used = [
        _stripped(transport)
        for participant in root.iterfind(".//{*}participant")
        if participant.get("is_default_profile") == "true"
        for transport in participant.iterfind("{*}rtps/{*}userTransports/{*}transport_id")
    ]
    return max((sizes[name] for name in used if name in sizes), default=SEGMENT)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Whether there is room for the segments of all participants.

    Args:
        folder: where shared memory is mounted.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return note(str(folder), f"{error.strerror}: DDS falls back to sockets")
    left = len(list(folder.glob("fast*")))
    found = f"{size(usage.free)} of {size(usage.total)} free, files of Fast DDS: {left}"
    if usage.free < _FULL:
        mend = f"end what is not needed; when no ROS process runs, rm {folder}/fast* removes what killed ones have left"
        return problem(str(folder), f"{found}: images will go missing", mend)
    if usage.total < _SMALL:
        return note(str(folder), found, "in a container: --shm-size=1g, or --ipc=host to share it with the camera's")
    return ok(str(folder), found)


def _text(element: ElementTree.Element, name: str) -> str:
    return _stripped(element.find(f"{{*}}{name}"))


def _stripped(element: ElementTree.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()
