"""The doctor command, and its checks of software, GPU and ROS 2."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import fake_gpu
from support import tiny_networks as tiny
from support.ros.node_process import ros_environment

from seg_perception.cli.__main__ import main
from seg_perception.cli.doctor import table
from seg_perception.doctor import dds, gpu, probe, ros, software
from seg_perception.doctor.cameras import CameraTopic, Publisher, ReceptionStatistics
from seg_perception.doctor.finding import Finding, Severity, ok, problem, size
from seg_perception.doctor.probe import RosProbe
from seg_perception.errors import ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec

FASTRTPS, JAZZY = "rmw_fastrtps_cpp", "FASTRTPS_DEFAULT_PROFILES_FILE"
VGA = CameraTopic(
    "/camera/image_raw", (Publisher("/driver", False, True),), ReceptionStatistics(60, 30.0, 921_600), infos=60
)
SILENT = replace(VGA, reception=ReceptionStatistics(), infos=60, expected=2_764_800)


def test_the_libraries_of_this_environment_are_ok() -> None:
    found = {finding.subject: finding for finding in software.libraries()}
    assert {finding.severity for finding in found.values()} == {Severity.OK}
    assert "CPUExecutionProvider" in found["onnxruntime"].found


def test_a_missing_library_is_a_problem_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rosbags", None)
    (finding,) = (finding for finding in software.libraries() if finding.subject == "rosbags")
    assert (finding.severity, finding.fix) == (Severity.PROBLEM, "pip install rosbags")


def test_a_library_that_cannot_be_loaded_is_reported_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def load_or_not(name: str) -> Any:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return load(name)

    monkeypatch.setattr(software.importlib, "import_module", load_or_not)
    (finding,) = (finding for finding in software.libraries() if finding.subject == "cv2")
    assert finding.severity == Severity.PROBLEM
    assert "libGL.so.1" in finding.found


@pytest.mark.slow
def test_the_shipped_network_opens_and_is_timed() -> None:
    finding = software.model()
    assert finding.severity == Severity.OK
    assert " ms per image; urban: 480x360" in finding.found


def test_a_network_that_does_not_open_is_a_problem_with_its_error_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise ModelError("urban.onnx: its sha256 is another one.")

    monkeypatch.setattr("seg_perception.inference.backends.open_engine", fail)
    assert software.model() == problem("models/urban.onnx", "urban.onnx: its sha256 is another one.")


class Machine:
    """A made-up GPU, and a plan that was built on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEG_PERCEPTION_CACHE", str(folder / "cache"))
        self.cuda, self.tensorrt = fake_gpu.install(monkeypatch)
        model = tiny.save(folder, tiny.network(), tiny.card())
        open_engine(model, GraphSpec(sample_points=2), backend="tensorrt").close()

    def diagnosis(self, subject: str) -> Finding:
        (finding,) = (finding for finding in gpu.findings() if finding.subject.startswith(subject))
        return finding


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_gpu_its_software_and_its_plans_are_listed(machine: Machine) -> None:
    assert machine.diagnosis("GPU") == ok("GPU", "Orin, compute capability 8.7, 8 GB")
    assert machine.diagnosis("TensorRT-RTX").found == "not installed"
    assert machine.diagnosis("backend auto").found.startswith("tries tensorrt, then ")
    plan = machine.diagnosis("plan of tiny, fp32")
    assert plan.severity == Severity.OK
    assert plan.found.endswith(", for tensorrt 10.3.0 on Orin (compute capability 8.7)")
    assert not machine.cuda.memory and not machine.cuda.handles


def test_a_plan_of_another_gpu_names_both_gpus_and_the_command_to_run(machine: Machine) -> None:
    machine.cuda.name, machine.cuda.capability = "Thor", (11, 0)
    plan = machine.diagnosis("plan of tiny")
    assert (plan.severity, plan.fix) == (Severity.NOTE, "seg-perception compile MODEL.onnx")
    assert "on Orin (compute capability 8.7); this machine has tensorrt 10.3.0 on Thor" in plan.found


def test_a_damaged_plan_is_a_problem(machine: Machine) -> None:
    (path,) = (Path(os.environ["SEG_PERCEPTION_CACHE"]) / "plans").glob("*.plan")
    path.write_bytes(b"half of it")
    plan = machine.diagnosis("plan of tiny")
    assert (plan.severity, plan.fix) == (Severity.PROBLEM, "it is built again when the network is opened next")


def test_without_a_gpu_the_cpu_is_used(machine: Machine) -> None:
    machine.cuda.failing["cudaSetDevice"] = fake_gpu.Status.cudaErrorNoDevice
    assert machine.diagnosis("GPU").fix == "the network runs on the CPU"
    assert machine.diagnosis("backend auto").found == "tries onnx_cpu"
    assert "cannot be used here: TensorRT 10.3.0 builds plans only on the GPU" in machine.diagnosis("plan of").found


def test_a_tensorrt_that_is_too_old_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpu.install(monkeypatch, version="8.5.2")
    (finding,) = (finding for finding in gpu.findings() if finding.subject == "TensorRT")
    assert finding.severity == Severity.PROBLEM and "JetPack 6" in finding.found


def test_the_distribution_is_the_sourced_one() -> None:
    assert ros.distro({"ROS_DISTRO": "humble"}) == "humble"


def test_without_rclpy_the_fix_is_how_to_install_it(tmp_path: Path) -> None:
    assert "seg_perception[ros]" in ros.rclpy_missing(tmp_path).fix
    setup = tmp_path / "jazzy" / "setup.bash"
    setup.parent.mkdir()
    setup.touch()
    assert ros.rclpy_missing(tmp_path).fix == f"source {setup}"


@pytest.mark.parametrize(
    ("environ", "severity"),
    [
        ({}, Severity.OK),
        ({"ROS_DOMAIN_ID": "101"}, Severity.OK),
        ({"ROS_DOMAIN_ID": "150"}, Severity.NOTE),
        ({"ROS_DOMAIN_ID": "233"}, Severity.PROBLEM),
        ({"ROS_DOMAIN_ID": "robot"}, Severity.PROBLEM),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, Severity.OK),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, Severity.NOTE),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost"}, Severity.PROBLEM),
        ({"ROS_LOCALHOST_ONLY": "1"}, Severity.OK),
    ],
)
def test_domain_and_discovery_range_are_checked(environ: dict[str, str], severity: Severity) -> None:
    levels = {finding.severity for finding in ros.discovery(environ)}
    assert max(levels, key=list(Severity).index) == severity


def test_missing_packages_are_notes_unless_the_node_needs_them() -> None:
    found: dict[str, str | None] = dict.fromkeys(ros.PACKAGES, "")
    found |= {"tf2_ros": None, "cv_bridge": "libopencv_core.so.406: not found", "nav_msgs": None}
    findings = {finding.subject: finding for finding in ros.packages(found)}
    assert findings["tf2_ros"].severity == Severity.NOTE
    assert findings["tf2_ros"].found.startswith("not installed; for poses from /tf")
    assert "libopencv_core.so.406" in findings["cv_bridge"].found
    assert findings["nav_msgs"].severity == Severity.PROBLEM
    assert findings["sensor_msgs"].severity == Severity.OK


def test_a_probe_survives_the_round_trip_through_json() -> None:
    measured_twice = replace(SILENT, reliable_reception=ReceptionStatistics(3, 1.5, 10))
    seen = RosProbe(FASTRTPS, {"tf2_ros": None, "nav_msgs": ""}, (VGA, measured_twice))
    assert RosProbe.from_json(seen.to_json()) == seen


def test_sizes_are_formatted_with_units() -> None:
    assert [size(count) for count in (12, 921_600, 2_764_800, 2**33)] == ["12 bytes", "900 KB", "2.64 MB", "8 GB"]


def test_the_table_aligns_findings_and_fixes() -> None:
    lines = table([ok("numpy", "2.4"), problem("cv2", "not installed " * 12, "pip install it")]).splitlines()
    assert lines[0].split() == ["ok", "numpy", "2.4"]
    assert lines[1].split()[:2] == ["problem", "cv2"]
    assert lines[-1].split() == ["→", "pip", "install", "it"]
    assert max(map(len, lines)) <= 120


@pytest.mark.slow
def test_a_machine_without_ros_has_no_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ros, "rclpy_is_installed", lambda: False)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "seg_perception[ros]" in printed
    assert printed.endswith("no problems found.\n")


@pytest.mark.slow
@pytest.mark.parametrize(("topic", "code"), [(VGA, 0), (SILENT, 1)])
def test_the_exit_code_says_whether_there_is_a_problem(
    topic: CameraTopic, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ros, "rclpy_is_installed", lambda: True)
    monkeypatch.setattr(ros, "discovery", lambda environ: [])
    monkeypatch.setattr(dds, "shared_memory", lambda: ok("/dev/shm", "enough"))
    seen = RosProbe(FASTRTPS, dict.fromkeys(ros.PACKAGES, ""), (topic,))
    monkeypatch.setattr(probe, "run_probe", lambda environ: seen)
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    if code:
        with pytest.raises(SystemExit) as ended:
            main(["doctor"])
        assert ended.value.code == code
    else:
        assert main(["doctor"]) == 0
    assert "/camera/image_raw" in capsys.readouterr().out


def test_the_doctor_survives_a_ros_that_cannot_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")
    for name, value in {**ros_environment(), "RMW_IMPLEMENTATION": "rmw_of_another_robot"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "rmw_of_another_robot" in capsys.readouterr().out
