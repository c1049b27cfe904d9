"""A package's speed, and what it was seen to compute, in words; predictions as the direction they are."""

from __future__ import annotations

from edge_runtime.package.manifest import Evidence, Latency, Quantity


def direction(quantity: Quantity, ratio: float) -> str:
    """Return a predicted ratio in words that nobody takes for a speed-up."""
    if quantity == "formulas":
        return f"predicted direction, by formulas: {ratio:.2f} x float32"
    less = "fewer" if ratio >= 1 else "more"
    return f"predicted direction: {less} instructions than float32, {max(ratio, 1 / ratio):.2f} x"


def seen_in_words(seen: Evidence) -> str:
    """Return what a variant was seen to compute at a place."""
    agreement = "the same bits as here" if seen.exact else f"{seen.agreement_db} dB from its answers here"
    metric = "" if seen.accuracy is None else f", the metric on these {seen.accuracy:.4f}"
    return f"at {seen.place}: {agreement} on {seen.samples} samples{metric} ({seen.label}, {seen.engine})"


def in_words(found: Latency, *, is_reference: bool = False) -> str:
    """Return how fast a variant is, how that came about, and on what; a reference has no ratio to itself."""
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    if found.quantity != "time":
        said = "nothing is known of its time" if is_reference else direction(found.quantity, found.speedup)
        return f"{said}, {found.label} for {found.machine}"
    ratio = f"{found.speedup:.2f} x float32 (95 % interval {found.low:.2f} to {found.high:.2f})"
    time = f"{found.milliseconds:.3f} ms, batch 1, {threads}"
    return f"{time if is_reference else f'{ratio}, {time}'}, {found.label} on {found.machine}"
