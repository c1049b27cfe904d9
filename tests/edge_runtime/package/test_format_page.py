"""docs/package-format.md explains the whole manifest."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edge_runtime.inference import engine, feature_kinds, features, log_mel, postprocess, preprocess
from edge_runtime.package import archive, manifest

PAGE = Path(__file__).resolve().parents[3] / "docs/package-format.md"
STRUCTS = [
    manifest.Manifest,
    manifest.Variant,
    manifest.Accuracy,
    manifest.Latency,
    manifest.Tolerance,
    manifest.Needs,
    manifest.Evidence,
    manifest.Golden,
    manifest.Member,
    manifest.Rejected,
    manifest.Source,
    engine.Tensor,
    preprocess.Preprocess,
    features.Features,
    feature_kinds.Mean,
    feature_kinds.Rms,
    feature_kinds.Std,
    feature_kinds.Peak,
    feature_kinds.PeakToPeak,
    feature_kinds.Kurtosis,
    feature_kinds.Skewness,
    feature_kinds.CrestFactor,
    feature_kinds.ZeroCrossings,
    feature_kinds.SpectralCentroid,
    feature_kinds.BandEnergy,
    log_mel.LogMel,
    postprocess.Argmax,
    postprocess.Threshold,
    postprocess.Value,
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_is_explained(struct: type) -> None:
    """Each field's name stands in the page as code."""
    text = PAGE.read_text(encoding="utf-8")
    described = msgspec.inspect.type_info(struct)
    names = [*(field.name for field in described.fields), *filter(None, [getattr(described, "tag", None)])]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_struct_of_the_manifest_is_looked_at() -> None:
    """A struct added to the manifest is added to this test: none is reachable that is not listed."""
    reachable: set[type] = set()

    def walk(kind: object) -> None:
        if isinstance(kind, msgspec.inspect.StructType | msgspec.inspect.DataclassType) and kind.cls not in reachable:
            reachable.add(kind.cls)
            for field in kind.fields:
                walk(field.type)
        for part in ("item_type", "key_type", "value_type"):
            walk(getattr(kind, part)) if hasattr(kind, part) else None
        for part in (*getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
            walk(part)

    walk(msgspec.inspect.type_info(manifest.Manifest))
    assert reachable == set(STRUCTS)


def test_members_and_limits_are_the_ones_of_the_code() -> None:
    """Member names, limits and the kinds of decision in the page are those the reader uses."""
    text = PAGE.read_text(encoding="utf-8")
    for word in (archive.MANIFEST, archive.SIGNATURES, archive.SUFFIX, "argmax", "threshold", "value"):
        assert word in text
    assert archive.MAX_MANIFEST_BYTES == 1 << 20
    assert archive.MAX_PACKAGE_BYTES == 1 << 30
