"""What the user should know before he trusts a result."""

from __future__ import annotations

from devices.profile import LOCAL
from optimizer.load import LoadedModel
from optimizer.request import Request

_FEW_SAMPLES = 32


def caveats(model: LoadedModel, request: Request) -> tuple[str, ...]:
    """Return one plain sentence per thing that was not proved, each with what would prove it."""
    found = []
    if request.samples is None:
        found.append(
            "accuracy is UNVERIFIED: there are no data to check it with. This command verifies it: "
            f"edgeopt quantize {model.path} --calibration CALIBRATION.npz --evaluation TEST.npz "
            "--metric top1 --max-drop 1pt"
        )
    elif request.evaluation is None:
        found.append("accuracy was measured on the calibration samples and is optimistic: give --evaluation")
    for data in (request.calibration, request.evaluation):
        if data is not None and data.ignored:
            found.append(f"{data.source}: arrays not used: {', '.join(data.ignored)}")
    if request.calibration is not None and len(request.calibration) < _FEW_SAMPLES:
        found.append(f"only {len(request.calibration)} calibration samples: 100 or more give steadier ranges")
    if request.target != LOCAL:
        found.append(f"latency was measured here, not on {request.target}: measure there with edgeopt benchmark")
    return tuple(found)
