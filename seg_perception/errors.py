"""The exceptions of the package. Every message names what is wrong, where, and how to fix it."""


class SegPerceptionError(Exception):
    """Base of every error a user can cause. The command line prints it as one sentence and exits with code 2.

    Examples:
        >>> try:
        ...     sp.Camera.from_yaml("missing.yaml")
        ... except sp.SegPerceptionError as error:
        ...     print(str(error).split(":")[0])
        missing.yaml
    """


class ConfigError(SegPerceptionError):
    """A YAML file or a setting is wrong. The message names the file and the key."""


class ModelError(SegPerceptionError):
    """A network, its model card or its engine cannot be used. The message names the file."""


class DeviceError(SegPerceptionError):
    """A GPU, its driver or its libraries are missing or failed. The message names the failed request."""


class RecordingError(SegPerceptionError):
    """A recording cannot be read or written. The message names the file and, where there is one, the topic."""


class ImageError(SegPerceptionError):
    """An image cannot be decoded. The message says what is inconsistent; the caller adds file or topic."""


class PointCloudError(SegPerceptionError):
    """A point cloud cannot be decoded. The message says what is inconsistent; the caller adds the topic."""


class GeometryError(SegPerceptionError):
    """A camera model, a transform or extrinsics are invalid. The message names the value."""


class ProjectionError(GeometryError):
    """A frame lacks what the projection named by `projection.mode` needs.

    Attributes:
        reason: what it lacks; one of a few fixed texts, for counting.
    """

    def __init__(self, reason: str, mode: str) -> None:
        """Name what is missing for the projection `mode`."""
        super().__init__(f"projection.mode is {mode}, but a frame has {reason}; check the sensor, or use auto.")
        self.reason = reason
