"""The one exception family. Every message names what was wrong, where, and what to do."""


class SegPerceptionError(Exception):
    """Base of every error a user can cause. The command line prints it as one sentence and exits with code 2."""


class ConfigError(SegPerceptionError):
    """A YAML file or a setting is wrong. The message names the file and the key."""


class ModelError(SegPerceptionError):
    """A network, its model card or its engine cannot be used. The message names the file."""


class RecordingError(SegPerceptionError):
    """A recording cannot be read or written. The message names the file and, where there is one, the topic."""


class ImageError(SegPerceptionError):
    """An image cannot be decoded. The message says what contradicts what; the caller adds file or topic."""


class PointsError(SegPerceptionError):
    """A point cloud cannot be decoded. The message says what contradicts what; the caller adds the topic."""


class GeometryError(SegPerceptionError):
    """A camera model, a transform or a mount makes no sense. The message names the value."""


class ProjectionError(GeometryError):
    """A frame lacks what the one projection that was asked for needs.

    Attributes:
        reason: what it lacks; one of a few texts, for counting.
    """

    def __init__(self, reason: str, mode: str) -> None:
        """Say what is lacking for the projection `mode`."""
        super().__init__(f"projection.mode is {mode}, but a frame has {reason}; see to the sensor, or use auto.")
        self.reason = reason
