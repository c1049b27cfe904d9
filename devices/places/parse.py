"""A place from what the user wrote."""

from __future__ import annotations

from devices.errors import WrongUsage
from devices.places.local import LocalPlace
from devices.places.place import Place


def parse(text: str) -> Place:
    """Return the place that `text` names.

    Raises:
        WrongUsage: E-PLACE-UNKNOWN.
    """
    if text == LocalPlace.name:
        return LocalPlace()
    raise WrongUsage("E-PLACE-UNKNOWN", f"there is no place {text}", "use local")
