"""Check an image's stamp against the node's clock; the message names what is wrong with the clocks."""

from __future__ import annotations

_OTHER_CLOCK = 3600.0  # s; no queue is that long, so the two clocks are not the same
_UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "min"))


def stamp_problem(stamp_ns: int, now_ns: int, max_age: float, max_lead: float) -> tuple[str, str] | None:
    """Why an image with this stamp must be dropped: the reason to count, and a sentence; None if it is valid.

    Args:
        stamp_ns: of the image.
        now_ns: the node's clock.
        max_age: how old an image may be, s.
        max_lead: how far in the future the stamp may be, s.
    """
    if stamp_ns <= 0:
        return "no stamp", "header.stamp is 0; check the camera driver."
    age = (now_ns - stamp_ns) / 1e9
    if age > max_age:
        fix = (
            "is use_sim_time missing?"
            if age > _OTHER_CLOCK
            else f"max_image_age allows {max_age:g} s; check the clocks and the load of camera and robot."
        )
        return "too old", f"the image's stamp is {_words(age)} behind the node's clock; {fix}"
    if -age > max_lead:
        fix = (
            "does the node's clock (use_sim_time, /clock) belong to this recording?"
            if -age > _OTHER_CLOCK
            else f"max_image_lead allows {max_lead:g} s; synchronise the clocks of camera and robot."
        )
        return "from the future", f"the image's stamp is {_words(-age)} ahead of the node's clock; {fix}"
    return None


def _words(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.3g} s"
