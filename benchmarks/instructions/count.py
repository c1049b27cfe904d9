"""Asking the emulator how many instructions of each class one inference executes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources

import numpy as np

from benchmarks import bundle
from benchmarks.instructions import plugin
from benchmarks.instructions.guest import END
from benchmarks.remote import Form
from devices.places.emulated import EmulatedPlace
from devices.places.place import OnLine
from edge_runtime.errors import EnvironmentFault
from edge_runtime.inference.engine import Feeds

_OURS = "ours.zip"
_START = f"import sys; sys.path.append({_OURS!r}); import guest; guest.main()"
_COUNTED = "counts.txt"


@dataclass(frozen=True)
class Counts:
    """Executed instructions of one inference.

    Attributes:
        by_class: Class -> instructions; the classes are those of count.c.
    """

    by_class: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return all of them."""
        return sum(self.by_class.values())


def count(
    place: EmulatedPlace,
    forms: Sequence[Form],
    feeds: Feeds,
    progress: OnLine = lambda line: None,
) -> dict[str, Counts]:
    """Return the instructions that one inference of each form executes; predicted: a direction, never milliseconds.

    Every form runs with one thread, whatever its settings say: with more, counts do not repeat.

    Args:
        place: The emulated board; opened and closed here.
        forms: Models with names of their own.
        feeds: One call's arrays by input name, for all forms.
        progress: Gets what the guest writes on stderr.

    Raises:
        EnvironmentFault: E-INSTRUCTIONS-COMPILER; E-INSTRUCTIONS-RUN, a form does not run there; E-PLACE-…
    """
    with place:
        library = plugin.built(place.sandbox_folder)
        place.put(_OURS, bundle.packed())
        place.put("guest.py", resources.files("benchmarks.instructions").joinpath("guest.py").read_bytes())
        place.put("feeds.npz", _packed(feeds))
        job = []
        for index, form in enumerate(forms):
            file = f"model-{index}.onnx"
            place.put(file, form.model)
            settings = asdict(replace(form.settings, threads=1))
            job.append({"name": form.name, "file": file, "settings": settings, "engine": form.engine})
        place.put("job.json", json.dumps(job).encode())
        ended = place.python(["-c", _START], progress, plugin=f"{library},out={place.folder / _COUNTED}")
        if ended.status:
            raise _failed(place, ended.stderr)
        counted = _read(place.get(_COUNTED).decode())
    return {form.name: counts for form, counts in zip(forms, counted, strict=True)}


def _packed(feeds: Feeds) -> bytes:
    """Return arrays as an .npz whose names may hold anything."""
    file = io.BytesIO()
    numbered = {f"a{index}": np.asarray(array) for index, array in enumerate(feeds.values())}
    np.savez(file, allow_pickle=False, names=np.asarray(list(feeds), dtype=np.str_), **numbered)
    return file.getvalue()


def _read(text: str) -> list[Counts]:
    """Return the counts of the phases that end with END, in their order."""
    phases = [dict(pair.split("=") for pair in line.split()) for line in text.splitlines()]
    ended = [phase for phase in phases if int(phase.pop("mark")) == END]
    return [Counts({name: int(value) for name, value in phase.items()}) for phase in ended]


def _failed(place: EmulatedPlace, stderr: str) -> EnvironmentFault:
    said = [line.strip() for line in stderr.splitlines() if line.strip()][-1:]
    return EnvironmentFault(
        "E-INSTRUCTIONS-RUN",
        f"counting at {place.name} failed: {''.join(said)[:400]}",
        "see whether the model runs on this machine: edgeopt inspect MODEL",
    )
