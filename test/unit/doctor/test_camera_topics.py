"""Checks of camera topics: made-up receptions, and a real camera driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.ros.node_process import ros_environment

from seg_perception.doctor import cameras, probe
from seg_perception.doctor.cameras import CameraTopic, Publisher, ReceptionStatistics
from seg_perception.doctor.finding import Finding, Severity, ok

VGA = CameraTopic(
    "/camera/image_raw", (Publisher("/driver", False, True),), ReceptionStatistics(60, 30.0, 921_600), infos=60
)
SILENT = replace(VGA, reception=ReceptionStatistics(), infos=60, expected=2_764_800)
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


def diagnosis(*topics: CameraTopic) -> Finding:
    return cameras.diagnose(topics, "PROFILE=/large.xml")[0]


def test_images_that_arrive_are_reported_with_rate_and_size() -> None:
    assert diagnosis(VGA) == ok("/camera/image_raw", "30.0 Hz, 900 KB each")


def test_images_without_camera_info_are_ok() -> None:
    assert diagnosis(replace(VGA, infos=0)).severity == Severity.OK


def test_a_few_missing_images_are_no_loss() -> None:
    assert diagnosis(replace(VGA, reception=ReceptionStatistics(2, 1.0, 921_600), infos=4)).severity == Severity.OK


def test_images_that_do_not_fit_into_shared_memory_are_reported_with_the_fix() -> None:
    finding = diagnosis(SILENT)
    assert finding.severity == Severity.PROBLEM
    assert finding.found == (
        "announced by /driver, but nothing arrives: a frame of 2.64 MB does not fit into the publisher's 512 KB of "
        "shared memory"
    )
    assert finding.fix == "start the camera with PROFILE=/large.xml, or let it publish compressed images"


def test_the_compressed_topic_is_recommended_where_there_is_one() -> None:
    packed = replace(VGA, name="/camera/image_raw/compressed")
    assert diagnosis(SILENT, packed).fix.endswith(", or take /camera/image_raw/compressed")


def test_lost_images_are_detected_by_the_number_of_camera_infos() -> None:
    finding = diagnosis(replace(SILENT, reception=ReceptionStatistics(4, 2.0, 2_764_848)))
    assert finding.severity == Severity.PROBLEM
    assert finding.found.startswith("4 images, but 60 camera_infos: a frame of 2.64 MB does not fit")


def test_images_that_arrive_only_with_reliable_qos_are_a_note() -> None:
    publishers = (Publisher("/driver", True, True),)
    reliable = replace(SILENT, publishers=publishers, reliable_reception=ReceptionStatistics(60, 30.0, 2_764_848))
    finding = diagnosis(reliable)
    assert finding.severity == Severity.NOTE
    assert finding.found.startswith("30.0 Hz with reliable QoS, 0.0 Hz with best effort: a frame of 2.64 MB")
    finding = diagnosis(replace(reliable, reception=ReceptionStatistics(9, 4.5, 2_764_848)))
    assert finding.severity == Severity.PROBLEM
    assert finding.fix.endswith("or set the node's image_reliability to reliable")


def test_a_silent_reliable_publisher_has_sent_nothing() -> None:
    idle = replace(
        VGA,
        publishers=(Publisher("/driver", True, True),),
        reception=ReceptionStatistics(),
        reliable_reception=ReceptionStatistics(),
        infos=0,
    )
    finding = diagnosis(idle)
    assert (finding.severity, finding.found) == (Severity.NOTE, "announced by /driver, which sends no images now")


def test_images_from_another_machine_overflow_the_socket_buffers() -> None:
    finding = diagnosis(replace(SILENT, publishers=(Publisher("/driver", False, False),)))
    assert "another machine" in finding.found
    assert finding.fix.startswith("start the node with PROFILE=/large.xml, and raise net.core.rmem_max")


@pytest.mark.parametrize("name", ["/camera/image_raw", "/camera/image_raw/compressed"])
def test_small_images_that_do_not_arrive_have_another_cause(name: str) -> None:
    finding = diagnosis(replace(SILENT, name=name, expected=100_000))
    assert finding.severity == Severity.PROBLEM
    assert "--ipc=host" in finding.fix


@pytest.mark.parametrize(
    ("image", "info"),
    [
        ("/image", "/camera_info"),
        ("/front/image_raw", "/front/camera_info"),
        ("/front/image_raw/compressed", "/front/camera_info"),
    ],
)
def test_the_camera_info_topic_is_next_to_the_image_topic(image: str, info: str) -> None:
    assert cameras.info_topic(image) == info


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


def test_a_camera_with_too_large_images_is_found_on_real_dds(driver: None) -> None:
    for _ in range(3):  # on a busy machine discovery takes longer than the doctor listens
        seen = probe.run_probe({**os.environ, **ros_environment()})
        found = {finding.subject: finding for finding in cameras.diagnose(seen.topics, "PROFILE=/large.xml")}
        if len(found) == 2:
            break
    assert set(found) == {"/small/image_raw", "/large/image_raw"}
    small, large = found["/small/image_raw"], found["/large/image_raw"]
    assert small.severity == Severity.OK
    assert small.found.endswith(" Hz, 56.3 KB each")
    assert float(small.found.split()[0]) == pytest.approx(10, abs=4)
    assert large.severity == Severity.PROBLEM
    assert "a frame of 10.5 MB does not fit into the publisher's 512 KB of shared memory" in large.found
    assert seen.topics[0].publishers == (Publisher("/driver", False, True),)
