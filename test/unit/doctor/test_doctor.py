"""The doctor: what it finds on machines that are made up, and on this one."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import fake_gpu
from support import tiny_networks as tiny
from support.node_process import ros_environment

from seg_perception.cli.__main__ import main
from seg_perception.cli.doctor import table
from seg_perception.doctor import cameras, dds, gpu, probe, ros, software
from seg_perception.doctor.cameras import CameraTopic, Heard, Publisher
from seg_perception.doctor.finding import Finding, Level, ok, problem, size
from seg_perception.doctor.probe import Probe
from seg_perception.errors import ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec

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
VGA = CameraTopic("/camera/image_raw", (Publisher("/driver", False, True),), Heard(60, 30.0, 921_600), infos=60)
SILENT = replace(VGA, heard=Heard(), infos=60, expected=2_764_800)


def diagnosis(*topics: CameraTopic) -> Finding:
    return cameras.diagnose(topics, "PROFILE=/large.xml")[0]


def test_the_libraries_of_this_environment_are_well() -> None:
    found = {finding.subject: finding for finding in software.libraries()}
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "CPUExecutionProvider" in found["onnxruntime"].found


def test_a_missing_library_is_a_problem_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rosbags", None)
    (finding,) = (finding for finding in software.libraries() if finding.subject == "rosbags")
    assert (finding.level, finding.mend) == (Level.PROBLEM, "pip install rosbags")


def test_a_library_that_cannot_be_loaded_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def load_or_not(name: str) -> Any:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return load(name)

    monkeypatch.setattr(software.importlib, "import_module", load_or_not)
    (finding,) = (finding for finding in software.libraries() if finding.subject == "cv2")
    assert finding.level == Level.PROBLEM
    assert "libGL.so.1" in finding.found


def test_the_shipped_network_opens_and_is_timed() -> None:
    finding = software.model()
    assert finding.level == Level.OK
    assert " ms per image; urban: 480x360" in finding.found


def test_a_network_that_does_not_open_is_a_problem_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
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
        open_engine(model, GraphSpec(cells=2), backend="tensorrt").close()

    def diagnosis(self, subject: str) -> Finding:
        (finding,) = (finding for finding in gpu.findings() if finding.subject.startswith(subject))
        return finding


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_gpu_its_software_and_its_plans_are_told(machine: Machine) -> None:
    assert machine.diagnosis("GPU") == ok("GPU", "Orin, compute capability 8.7, 8 GB")
    assert machine.diagnosis("TensorRT-RTX").found == "not installed"
    assert machine.diagnosis("backend auto").found.startswith("tries tensorrt, then ")
    plan = machine.diagnosis("plan of tiny, fp32")
    assert plan.level == Level.OK
    assert plan.found.endswith(", for tensorrt 10.3.0 on Orin (compute capability 8.7)")
    assert not machine.cuda.memory and not machine.cuda.handles


def test_a_plan_of_another_gpu_names_both_and_the_command_that_mends_it(machine: Machine) -> None:
    machine.cuda.name, machine.cuda.capability = "Thor", (11, 0)
    plan = machine.diagnosis("plan of tiny")
    assert (plan.level, plan.mend) == (Level.NOTE, "seg-perception compile MODEL.onnx")
    assert "on Orin (compute capability 8.7); this machine has tensorrt 10.3.0 on Thor" in plan.found


def test_a_damaged_plan_is_a_problem(machine: Machine) -> None:
    (path,) = (Path(os.environ["SEG_PERCEPTION_CACHE"]) / "plans").glob("*.plan")
    path.write_bytes(b"half of it")
    plan = machine.diagnosis("plan of tiny")
    assert (plan.level, plan.mend) == (Level.PROBLEM, "it is built again when the network is opened next")


def test_without_a_gpu_the_cpu_is_what_remains(machine: Machine) -> None:
    machine.cuda.failing["cudaSetDevice"] = fake_gpu.Status.cudaErrorNoDevice
    assert machine.diagnosis("GPU").mend == "the network runs on the CPU"
    assert machine.diagnosis("backend auto").found == "tries onnx_cpu"
    assert "cannot be used here: TensorRT 10.3.0 builds plans only on the GPU" in machine.diagnosis("plan of").found


def test_a_tensorrt_that_is_too_old_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpu.install(monkeypatch, version="8.5.2")
    (finding,) = (finding for finding in gpu.findings() if finding.subject == "TensorRT")
    assert finding.level == Level.PROBLEM and "JetPack 6" in finding.found


def test_the_distribution_is_the_sourced_one() -> None:
    assert ros.distro({"ROS_DISTRO": "humble"}) == "humble"


def test_without_rclpy_the_way_to_get_it_is_told(tmp_path: Path) -> None:
    assert "seg_perception[ros]" in ros.how_to_get_ros(tmp_path).mend
    setup = tmp_path / "jazzy" / "setup.bash"
    setup.parent.mkdir()
    setup.touch()
    assert ros.how_to_get_ros(tmp_path).mend == f"source {setup}"


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, Level.OK),
        ({"ROS_DOMAIN_ID": "101"}, Level.OK),
        ({"ROS_DOMAIN_ID": "150"}, Level.NOTE),
        ({"ROS_DOMAIN_ID": "233"}, Level.PROBLEM),
        ({"ROS_DOMAIN_ID": "robot"}, Level.PROBLEM),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, Level.OK),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, Level.NOTE),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost"}, Level.PROBLEM),
        ({"ROS_LOCALHOST_ONLY": "1"}, Level.OK),
    ],
)
def test_domain_and_discovery_range_are_judged(environ: dict[str, str], level: Level) -> None:
    levels = {finding.level for finding in ros.discovery(environ)}
    assert max(levels, key=list(Level).index) == level


def test_missing_packages_are_notes_unless_the_node_cannot_do_without() -> None:
    found: dict[str, str | None] = dict.fromkeys(ros.PACKAGES, "")
    found |= {"tf2_ros": None, "cv_bridge": "libopencv_core.so.406: not found", "nav_msgs": None}
    findings = {finding.subject: finding for finding in ros.packages(found)}
    assert findings["tf2_ros"].level == Level.NOTE
    assert findings["tf2_ros"].found.startswith("not installed; for poses from /tf")
    assert "libopencv_core.so.406" in findings["cv_bridge"].found
    assert findings["nav_msgs"].level == Level.PROBLEM
    assert findings["sensor_msgs"].level == Level.OK


@pytest.mark.parametrize(
    ("distro", "variable"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("lyrical", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_profile_must_stand_under_the_name_that_the_distribution_reads(
    distro: str, variable: str, tmp_path: Path
) -> None:
    path = tmp_path / "profile.xml"
    path.write_text(PROFILE)
    finding = dds.profile(distro, FASTRTPS, {variable: str(path)})
    assert (finding.level, finding.subject) == (Level.OK, variable)
    assert "32 MB" in finding.found
    names = {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"}
    (other,) = names - {variable}
    finding = dds.profile(distro, FASTRTPS, {other: str(path)})
    assert finding.level == Level.NOTE
    assert f"{other} is, which {distro} does not read" in finding.found


@pytest.mark.parametrize(
    ("content", "level", "words"),
    [
        (PROFILE.replace("33554432", "600000"), Level.NOTE, "586 KB of shared memory are too few"),
        (PROFILE.replace('is_default_profile="true"', ""), Level.NOTE, "512 KB"),
        (PROFILE.replace("SHM", "UDPv4"), Level.NOTE, "512 KB"),
        (PROFILE[:100], Level.PROBLEM, "is no XML"),
        (PROFILE.replace("33554432", "32 MB"), Level.PROBLEM, "32 MB"),
        (None, Level.PROBLEM, "No such file"),
    ],
)
def test_a_profile_that_gives_too_little_is_told(content: str | None, level: Level, words: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.xml"
    if content is not None:
        path.write_text(content)
    finding = dds.profile("jazzy", FASTRTPS, {JAZZY: str(path)})
    assert finding.level == level
    assert words in finding.found
    assert finding.mend == f"export {JAZZY}={dds.shipped_profile()}"


def test_without_a_profile_large_images_are_no_problem_yet_but_noted() -> None:
    assert dds.profile("jazzy", FASTRTPS, {}).level == Level.NOTE
    assert dds.profile("jazzy", FASTRTPS, {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}).level == Level.OK
    ignored = {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    assert dds.profile("jazzy", FASTRTPS, ignored).level == Level.NOTE
    assert "rmw_zenoh_cpp" in dds.profile("kilted", "rmw_zenoh_cpp", {}).found


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [(2**33, 2**32, Level.OK), (2**26, 2**26, Level.NOTE), (2**33, 2**20, Level.PROBLEM)],
)
def test_shared_memory_that_is_small_or_full_is_told(
    total: int, free: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(dds.shutil, "disk_usage", lambda folder: usage(total, total - free, free))
    (tmp_path / "fastrtps_1a2b").touch()
    finding = dds.shared_memory(tmp_path)
    assert finding.level == level
    assert "files of Fast DDS: 1" in finding.found


def test_a_machine_without_shared_memory_is_noted(tmp_path: Path) -> None:
    assert dds.shared_memory(tmp_path / "absent").level == Level.NOTE


def test_images_that_arrive_are_told_with_rate_and_size() -> None:
    assert diagnosis(VGA) == ok("/camera/image_raw", "30.0 Hz, 900 KB each")


def test_images_of_a_camera_without_camera_info_count_as_they_come() -> None:
    assert diagnosis(replace(VGA, infos=0)).level == Level.OK


def test_a_few_images_missing_at_the_ends_are_no_loss() -> None:
    assert diagnosis(replace(VGA, heard=Heard(2, 1.0, 921_600), infos=4)).level == Level.OK


def test_announced_images_that_do_not_fit_into_shared_memory_are_told_with_the_mend() -> None:
    finding = diagnosis(SILENT)
    assert finding.level == Level.PROBLEM
    assert finding.found == (
        "announced by /driver, but nothing arrives: a frame of 2.64 MB does not fit into the publisher's 512 KB of "
        "shared memory"
    )
    assert finding.mend == "start the camera with PROFILE=/large.xml, or let it publish compressed images"


def test_the_compressed_topic_is_recommended_where_there_is_one() -> None:
    packed = replace(VGA, name="/camera/image_raw/compressed")
    assert diagnosis(SILENT, packed).mend.endswith(", or take /camera/image_raw/compressed")


def test_images_that_get_lost_are_told_by_the_camera_infos_beside_them() -> None:
    finding = diagnosis(replace(SILENT, heard=Heard(4, 2.0, 2_764_848)))
    assert finding.level == Level.PROBLEM
    assert finding.found.startswith("4 images beside 60 camera_infos: a frame of 2.64 MB does not fit")


def test_images_that_arrive_only_reliably_are_a_note_because_the_node_falls_back() -> None:
    publishers = (Publisher("/driver", True, True),)
    reliable = replace(SILENT, publishers=publishers, heard_reliably=Heard(60, 30.0, 2_764_848))
    finding = diagnosis(reliable)
    assert finding.level == Level.NOTE
    assert finding.found.startswith("30.0 Hz when asked for reliably, 0.0 Hz with best effort: a frame of 2.64 MB")
    finding = diagnosis(replace(reliable, heard=Heard(9, 4.5, 2_764_848)))
    assert finding.level == Level.PROBLEM
    assert finding.mend.endswith("or set the node's image_reliability to reliable")


def test_a_reliable_publisher_that_is_silent_has_sent_nothing() -> None:
    idle = replace(VGA, publishers=(Publisher("/driver", True, True),), heard=Heard(), heard_reliably=Heard(), infos=0)
    finding = diagnosis(idle)
    assert (finding.level, finding.found) == (Level.NOTE, "announced by /driver, which sends no images now")


def test_images_from_another_machine_are_lost_in_this_ones_buffers() -> None:
    finding = diagnosis(replace(SILENT, publishers=(Publisher("/driver", False, False),)))
    assert "another machine" in finding.found
    assert finding.mend.startswith("start the node with PROFILE=/large.xml, and raise net.core.rmem_max")


@pytest.mark.parametrize("name", ["/camera/image_raw", "/camera/image_raw/compressed"])
def test_small_images_that_do_not_arrive_have_another_cause(name: str) -> None:
    finding = diagnosis(replace(SILENT, name=name, expected=100_000))
    assert finding.level == Level.PROBLEM
    assert "--ipc=host" in finding.mend


@pytest.mark.parametrize(
    ("image", "info"),
    [
        ("/image", "/camera_info"),
        ("/front/image_raw", "/front/camera_info"),
        ("/front/image_raw/compressed", "/front/camera_info"),
    ],
)
def test_calibrations_are_looked_for_beside_the_images(image: str, info: str) -> None:
    assert cameras.info_topic(image) == info


def test_a_probe_comes_back_from_its_process_as_it_was() -> None:
    heard_twice = replace(SILENT, heard_reliably=Heard(3, 1.5, 10))
    seen = Probe(FASTRTPS, {"tf2_ros": None, "nav_msgs": ""}, (VGA, heard_twice))
    assert Probe.from_json(seen.to_json()) == seen


def test_numbers_of_bytes_are_for_people() -> None:
    assert [size(count) for count in (12, 921_600, 2_764_800, 2**33)] == ["12 bytes", "900 KB", "2.64 MB", "8 GB"]


def test_the_table_keeps_findings_and_mends_apart() -> None:
    lines = table([ok("numpy", "2.4"), problem("cv2", "not installed " * 12, "pip install it")]).splitlines()
    assert lines[0].split() == ["ok", "numpy", "2.4"]
    assert lines[1].split()[:2] == ["problem", "cv2"]
    assert lines[-1].split() == ["→", "pip", "install", "it"]
    assert max(map(len, lines)) <= 120


def test_a_machine_without_ros_has_no_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ros, "rclpy_is_there", lambda: False)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "seg_perception[ros]" in said
    assert said.endswith("no problems found.\n")


@pytest.mark.parametrize(("topic", "code"), [(VGA, 0), (SILENT, 1)])
def test_the_exit_code_says_whether_there_is_a_problem(
    topic: CameraTopic, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ros, "rclpy_is_there", lambda: True)
    monkeypatch.setattr(ros, "discovery", lambda environ: [])
    monkeypatch.setattr(dds, "shared_memory", lambda: ok("/dev/shm", "enough"))
    seen = Probe(FASTRTPS, dict.fromkeys(ros.PACKAGES, ""), (topic,))
    monkeypatch.setattr(probe, "probe", lambda environ: seen)
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    if code:
        with pytest.raises(SystemExit) as ended:
            main(["doctor"])
        assert ended.value.code == code
    else:
        assert main(["doctor"]) == 0
    assert "/camera/image_raw" in capsys.readouterr().out


def test_a_ros_that_cannot_start_is_a_problem_and_not_the_end_of_the_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")
    for name, value in {**ros_environment(), "RMW_IMPLEMENTATION": "rmw_of_another_robot"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "rmw_of_another_robot" in capsys.readouterr().out


CAMERAS = """if True:
    import array
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image

    rclpy.init()
    node = rclpy.create_node("driver")
    def publish(name, width, height):
        images = node.create_publisher(Image, name + "/image_raw", qos_profile_sensor_data)
        infos = node.create_publisher(CameraInfo, name + "/camera_info", qos_profile_sensor_data)
        pixels = array.array("B", bytes(3 * width * height))
        image = Image(width=width, height=height, encoding="bgr8", step=3 * width, data=pixels)
        def tick():
            images.publish(image)
            infos.publish(CameraInfo(width=width, height=height))
        node.create_timer(0.1, tick)
    publish("/small", 160, 120)
    publish("/large", 2560, 1440)
    print("publishing", flush=True)
    try:
        rclpy.spin(node)
    except rclpy.executors.ExternalShutdownException:
        node.destroy_node()
"""


@pytest.fixture()
def driver() -> Iterator[None]:
    """A camera driver with a small and a large image, in a process of its own: within one, DDS needs no memory."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")
    environment = {**os.environ, **ros_environment()}
    with subprocess.Popen(
        [sys.executable, "-c", CAMERAS], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "publishing\n"
            yield
        finally:
            process.terminate()  # a killed one would leave its shared memory behind


def test_a_camera_whose_images_are_too_large_is_found_on_real_dds(driver: None) -> None:
    for _ in range(3):  # on a busy machine discovery takes longer than the doctor listens
        seen = probe.probe({**os.environ, **ros_environment()})
        found = {finding.subject: finding for finding in cameras.diagnose(seen.topics, "PROFILE=/large.xml")}
        if len(found) == 2:
            break
    assert set(found) == {"/small/image_raw", "/large/image_raw"}
    small, large = found["/small/image_raw"], found["/large/image_raw"]
    assert small.level == Level.OK
    assert small.found.endswith(" Hz, 56.3 KB each")
    assert float(small.found.split()[0]) == pytest.approx(10, abs=4)
    assert large.level == Level.PROBLEM
    assert "a frame of 10.5 MB does not fit into the publisher's 512 KB of shared memory" in large.found
    assert seen.topics[0].publishers == (Publisher("/driver", False, True),)
