"""When int8 loses more than allowed: give layers back to float, the costliest first, until the budget is met."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optimizer.candidates import Candidate


def fewest_float_layers(costliest: Sequence[str], form: Callable[[Sequence[str]], Candidate]) -> Candidate | None:
    """Return the judged form with the fewest layers in float that meets the budget, None where not even half does.

    Doubles the number of float layers until the budget is met, then halves the step: about 2 log2(n) forms are judged.

    Args:
        costliest: Layer names, the one that loses most first.
        form: Builds and judges the form whose given layers stay float.
    """
    failed, count = 0, 1
    met: Candidate | None = None
    while met is None and count <= max(1, len(costliest) // 2):
        judged = form(costliest[:count])
        if judged.rejected:
            failed, count = count, count * 2
        else:
            met = judged
    while met is not None and count - failed > 1:
        middle = (failed + count) // 2
        judged = form(costliest[:middle])
        if judged.rejected:
            failed = middle
        else:
            met, count = judged, middle
    return met
