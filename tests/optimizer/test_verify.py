"""Packages re-run at a place, and what is said where they answer otherwise there."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from packaged import EVALUATION, evaluation, packaged
from places_with_faults import OtherArithmetic

from devices.host import detect
from devices.places.local import LocalPlace
from devices.places.place import Place
from edge_runtime.errors import BadInput, Refused
from edge_runtime.package.archive import Package
from edge_runtime.package.manifest import Needs
from optimizer.verify import Evaluation, Verification, verify
from optimizer.verify_metric import Asked

FOREIGN = Needs(isa=("riscv64",))


def run(package: Package, place: Place, asked: Asked | None = None) -> Verification:
    """Verify with evaluation samples, in silence."""
    return verify(package, place, Evaluation(evaluation(), asked or Asked()), lambda stage, done, total: None)


def same(model: onnx.ModelProto) -> None:
    """Change nothing: another machine that computes the same."""


def behind_output(model: onnx.ModelProto) -> tuple[str, str]:
    """Free the name of a model's output for another node; return the tensor that had it, and the name."""
    output = model.graph.output[0].name
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output:
                node.output[index] = "before"
    return "before", output


def with_other_answers(model: onnx.ModelProto) -> None:
    """Let a model rank its classes the other way round."""
    before, output = behind_output(model)
    model.graph.node.append(onnx.helper.make_node("Neg", [before], [output], "turned"))


def nudged_output(model: onnx.ModelProto) -> None:
    """Let a model answer a hair more, as another order of float sums does."""
    before, output = behind_output(model)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1e-5], np.float32), "hair"))
    model.graph.node.append(onnx.helper.make_node("Add", [before, "hair"], [output], "nudged"))


def doubled_output(model: onnx.ModelProto) -> None:
    """Let a model answer twice what it answers."""
    before, output = behind_output(model)
    model.graph.node.append(onnx.helper.make_node("Add", [before, before], [output], "doubled"))


def test_a_package_passes_where_it_was_built() -> None:
    """Every variant meets its golden samples and its recorded metric, and says on what it ran."""
    found = run(packaged(names=("fp32", "cpu-u8s8", "cpu-dynamic")), LocalPlace())
    assert found.fault() is None
    assert [check.variant for check in found.checks] == ["fp32", "cpu-u8s8", "cpu-dynamic"]
    for check in found.checks:
        assert check.golden == pytest.approx(0.0, abs=1e-3)
        assert check.evidence is not None
        assert check.evidence.engine.startswith("onnxruntime 1.")
        assert (check.evidence.label, check.evidence.samples) == ("measured", len(EVALUATION))
        assert check.scores is not None
        assert check.scores.there == check.scores.here
    assert [check.scores and check.scores.recorded for check in found.checks][:2] == [
        check.scores and check.scores.there for check in found.checks
    ][:2]


def test_another_machine_that_computes_the_same_is_equal() -> None:
    """Answers that are equal to the last bit are said to be."""
    found = run(packaged(), OtherArithmetic(same))
    assert found.fault() is None
    assert [check.evidence and check.evidence.exact for check in found.checks] == [True, True]


def test_small_differences_pass_with_their_ratio_and_an_explanation() -> None:
    """Not equal, inside the golden tolerance: signal to noise in dB, and where it comes from."""
    found = run(packaged(), OtherArithmetic(nudged_output))
    assert found.fault() is None
    float32, int8 = found.checks
    for check in (float32, int8):
        assert check.evidence is not None
        assert not check.evidence.exact
        assert 60 < (check.evidence.agreement_db or 0) < 140
        assert check.explanation is not None
    assert float32.explanation is not None
    assert float32.explanation.problem is not None
    assert int8.explanation is not None
    assert (int8.explanation.layers, int8.explanation.compared > 2) == ((), True)


def test_golden_samples_that_are_missed_fail() -> None:
    """A planted model answers twice what it should: refused, exit status 6, naming variant and place."""
    fault = run(packaged(), OtherArithmetic(doubled_output)).fault()
    assert isinstance(fault, Refused)
    assert fault.code == "E-GOLDEN-MISMATCH"
    assert "variant fp32" in fault.message
    assert "at other" in fault.message


def test_planted_golden_values_fail_here_too() -> None:
    """Values that no machine reproduces are found on the host itself."""
    fault = run(packaged(tamper=1.0), LocalPlace()).fault()
    assert fault is not None
    assert fault.code == "E-GOLDEN-MISMATCH"


def test_a_metric_that_is_off_fails() -> None:
    """Answers turned round: were it not for the golden samples, the metric would tell, with both values."""
    found = run(packaged(), OtherArithmetic(with_other_answers))
    check = next(check for check in found.checks if check.variant == "fp32")
    assert check.scores is not None
    assert check.scores.off() is not None
    metric_alone = dataclasses.replace(check, golden_problem=None).fault("net v1", "other")
    assert metric_alone is not None
    assert metric_alone.code == "E-VERIFY-METRIC"
    assert "on the host" in metric_alone.message


def test_the_tolerance_is_in_points() -> None:
    """A hundred points of top-1 allow everything."""
    found = run(packaged(), OtherArithmetic(with_other_answers), Asked(tolerance=100.0))
    assert [check.scores and check.scores.off() for check in found.checks] == [None, None]


def test_a_variant_that_does_not_run_there_fails_with_its_reason() -> None:
    """The engine's own words are in the error."""

    def broken(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "NoSuchOperator"

    fault = run(packaged(), OtherArithmetic(broken)).fault()
    assert fault is not None
    assert fault.code == "E-VERIFY-RUN"
    assert "NoSuchOperator" in fault.message


def test_variants_for_other_machines_are_left_out() -> None:
    """A foreign architecture or a feature that is not there: skipped with the reason, and the others are judged."""
    needs = {"cpu-u8s8": Needs(isa=(detect().machine,), features=("no-such-unit",)), "cpu-dynamic": FOREIGN}
    found = run(packaged(needs, ("fp32", "cpu-u8s8", "cpu-dynamic")), LocalPlace())
    assert [check.variant for check in found.checks] == ["fp32"]
    assert "no-such-unit" in found.skipped["cpu-u8s8"]
    assert "riscv64" in found.skipped["cpu-dynamic"]


def test_a_package_without_a_variant_for_the_machine_is_refused() -> None:
    """The error says what each variant would need and what the machine is."""
    with pytest.raises(BadInput, match=f"riscv64, and this machine is {detect().machine}") as caught:
        run(packaged({"fp32": FOREIGN, "cpu-u8s8": FOREIGN}), LocalPlace())
    assert caught.value.code == "E-PACKAGE-NO-VARIANT"


def test_a_metric_against_float32_uses_the_float32_variant() -> None:
    """`agreement` needs no labels: the package's own float32 form is the truth, where there is one."""
    found = run(packaged(), OtherArithmetic(with_other_answers), Asked(metric="agreement"))
    float32 = found.checks[0].scores
    assert float32 is not None
    assert (float32.here, float32.there < 1.0) == (1.0, True)


def test_labels_that_are_missing_are_told() -> None:
    """The metric the package was built with needs labels."""
    bare = dataclasses.replace(evaluation(), labels=None)
    with pytest.raises(BadInput) as caught:
        verify(packaged(), LocalPlace(), Evaluation(bare), lambda stage, done, total: None)
    assert caught.value.code == "E-METRIC-NEEDS-LABELS"


def test_other_samples_are_not_held_against_the_record() -> None:
    """The recorded value is shown and a note says that it is of other samples."""
    fewer = evaluation().first(10)
    found = verify(packaged(), LocalPlace(), Evaluation(fewer), lambda stage, done, total: None)
    assert found.fault() is None
    assert any("other samples" in note for note in found.notes)
