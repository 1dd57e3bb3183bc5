"""Checks of DDS: profiles and shared memory."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from seg_perception.doctor import dds
from seg_perception.doctor.finding import Severity

FASTRTPS, JAZZY = "rmw_fastrtps_cpp", "FASTRTPS_DEFAULT_PROFILES_FILE"
PROFILE = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors>
    <transport_descriptor>
      <transport_id>large</transport_id><type>SHM</type><segment_size> 33554432 </segment_size>
    </transport_descriptor>
  </transport_descriptors>
  <participant profile_name="any" is_default_profile="true">
    <rtps><userTransports><transport_id>large</transport_id></userTransports></rtps>
  </participant>
</profiles>
"""


@pytest.mark.parametrize(
    ("distro", "variable"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("lyrical", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_profile_must_be_in_the_variable_that_the_distribution_reads(
    distro: str, variable: str, tmp_path: Path
) -> None:
    path = tmp_path / "profile.xml"
    path.write_text(PROFILE)
    finding = dds.profile(distro, FASTRTPS, {variable: str(path)})
    assert (finding.severity, finding.subject) == (Severity.OK, variable)
    assert "32 MB" in finding.found
    names = {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"}
    (other,) = names - {variable}
    finding = dds.profile(distro, FASTRTPS, {other: str(path)})
    assert finding.severity == Severity.NOTE
    assert f"{other} is, which {distro} does not read" in finding.found


@pytest.mark.parametrize(
    ("content", "severity", "words"),
    [
        (PROFILE.replace("33554432", "600000"), Severity.NOTE, "586 KB of shared memory are too little"),
        (PROFILE.replace('is_default_profile="true"', ""), Severity.NOTE, "512 KB"),
        (PROFILE.replace("SHM", "UDPv4"), Severity.NOTE, "512 KB"),
        (PROFILE[:100], Severity.PROBLEM, "is not XML"),
        (PROFILE.replace("33554432", "32 MB"), Severity.PROBLEM, "32 MB"),
        (None, Severity.PROBLEM, "No such file"),
    ],
)
def test_a_profile_with_too_little_shared_memory_is_reported(
    content: str | None, severity: Severity, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "profile.xml"
    if content is not None:
        path.write_text(content)
    finding = dds.profile("jazzy", FASTRTPS, {JAZZY: str(path)})
    assert finding.severity == severity
    assert words in finding.found
    assert finding.fix == f"export {JAZZY}={dds.shipped_profile()}"


def test_without_a_profile_there_is_a_note() -> None:
    assert dds.profile("jazzy", FASTRTPS, {}).severity == Severity.NOTE
    assert dds.profile("jazzy", FASTRTPS, {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}).severity == Severity.OK
    ignored = {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    assert dds.profile("jazzy", FASTRTPS, ignored).severity == Severity.NOTE
    assert "rmw_zenoh_cpp" in dds.profile("kilted", "rmw_zenoh_cpp", {}).found


@pytest.mark.parametrize(
    ("total", "free", "severity"),
    [(2**33, 2**32, Severity.OK), (2**26, 2**26, Severity.NOTE), (2**33, 2**20, Severity.PROBLEM)],
)
def test_small_or_full_shared_memory_is_reported(
    total: int, free: int, severity: Severity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(dds.shutil, "disk_usage", lambda folder: usage(total, total - free, free))
    (tmp_path / "fastrtps_1a2b").touch()
    finding = dds.shared_memory(tmp_path)
    assert finding.severity == severity
    assert "files of Fast DDS: 1" in finding.found


def test_a_machine_without_shared_memory_gets_a_note(tmp_path: Path) -> None:
    assert dds.shared_memory(tmp_path / "absent").severity == Severity.NOTE
