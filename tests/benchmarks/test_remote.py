"""Models run at a place: what they compute, how long they take, and every way in which that can fail."""

from __future__ import annotations

import ast
import io
import json
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks import bundle, exchange, remote
from benchmarks.latency import Plan
from benchmarks.remote import Form, Work
from devices.host import detect
from devices.memory import peak_resident_bytes
from devices.places.local import LocalPlace
from edge_runtime.errors import EnvironmentFault
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.ort import OrtEngine, SessionSettings

QUICK = Plan(rounds=6, slot_seconds=0.001, warmup_seconds=0.0)


def chain(factor: float = 2.0, batch: int | str = "N") -> bytes:
    """Return y = relu(factor * x) on rows of four."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4]) for name in ("x", "y/0")]
    nodes = [helper.make_node("Mul", ["x", "k"], ["h"]), helper.make_node("Relu", ["h"], ["y/0"])]
    weight = helper.make_tensor("k", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [weight])
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return model


def samples(count: int) -> dict[str, NDArray[np.float32]]:
    """Return inputs of `chain`."""
    return {"x": np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)}


@pytest.fixture
def begin_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that lets every Python at the place begin with some code: how faults are planted there."""

    def plant(code: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return plant


def killed_at(form: int) -> str:
    """Return code that kills the process when it begins work on a form."""
    return (
        "import os, sys\n"
        "class Watched:\n"
        "    def __init__(self, inner): self.inner = inner\n"
        "    def write(self, text):\n"
        "        self.inner.write(text)\n"
        "        self.inner.flush()\n"
        f"        if text.strip() == 'form {form}': os.kill(os.getpid(), 11)\n"
        "    def flush(self): self.inner.flush()\n"
        "sys.stderr = Watched(sys.stderr)\n"
    )


class Answering(LocalPlace):
    """A place that returns another content for one file."""

    def __init__(self, name: str, change: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._changed, self._change = name, change

    def get(self, name: str) -> bytes:
        """Read a file, changed where it is the one."""
        data = super().get(name)
        return self._change(data) if name == self._changed else data


def test_facts_are_those_of_the_machine() -> None:
    """The runner finds what this process finds, sets and absent values included."""
    machine = remote.facts(LocalPlace())
    assert machine.host == detect()
    assert machine.numpy == np.__version__
    assert machine.version_of("onnxruntime") == f"onnxruntime {machine.onnxruntime}"
    assert str(detect()) in str(machine)


@pytest.mark.parametrize("batch", ["N", 8])
def test_outputs_are_those_of_the_same_batches_here(batch: int | str) -> None:
    """All samples come back, with an open batch and with a fixed one that the last samples do not fill."""
    model, feeds = chain(batch=batch), samples(45)
    answers = remote.outputs(LocalPlace(), [Form("one", model)], feeds, 16)
    expected = run_all(OrtEngine(model), feeds, 16)
    np.testing.assert_array_equal(answers.outputs["one"]["y/0"], expected["y/0"])
    assert answers.failures == {}


def test_tensors_between_come_along_where_they_are_outputs() -> None:
    """A model with an intermediate tensor as further output gives it; its name may hold anything."""
    model = onnx.load_model_from_string(chain())
    model.graph.output.append(onnx.ValueInfoProto(name="h"))
    feeds = samples(3)
    answers = remote.outputs(LocalPlace(), [Form("one", model.SerializeToString())], feeds, 32)
    np.testing.assert_array_equal(answers.outputs["one"]["h"], 2 * feeds["x"])


def test_forms_can_have_samples_and_batches_of_their_own() -> None:
    """One process runs all of it, and what two of them share goes there once."""

    class Counting(LocalPlace):
        """Counts what is put."""

        def put(self, name: str, data: bytes) -> None:
            """Write a file and keep its name."""
            names.append(name)
            super().put(name, data)

    names: list[str] = []
    few, many, model = samples(3), samples(40), chain()
    works = [Work(Form("few", model), few, 1), Work(Form("many", model), many, 32), Work(Form("again", model), few, 2)]
    answers = remote.outputs_of(Counting(), works)
    assert {name: len(arrays["y/0"]) for name, arrays in answers.outputs.items()} == {"few": 3, "many": 40, "again": 3}
    assert sorted(names) == ["inputs-0.npz", "inputs-1.npz", "job.json", "model-0.onnx", "runner.pyz"]


def test_progress_counts_all_samples_of_all_forms() -> None:
    """It grows up to the end and never beyond."""
    seen: list[tuple[int, int]] = []
    forms = [Form("one", chain()), Form("two", chain(3.0))]
    remote.outputs(LocalPlace(), forms, samples(70), 32, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert (seen[-1], {total for _, total in seen}) == ((140, 140), {140})


def test_a_form_that_does_not_load_has_a_reason_and_the_others_run() -> None:
    """Words instead of a model, an engine nobody has, and an input the model does not take: each tells its own."""
    forms = [
        Form("words", b"these are words"),
        Form("engine", chain(), engine="steam"),
        Form("fine", chain()),
    ]
    answers = remote.outputs(LocalPlace(), forms, samples(3), 32)
    assert set(answers.outputs) == {"fine"}
    assert "cannot load the model" in answers.failures["words"]
    assert "steam" in answers.failures["engine"]


def test_a_form_that_ends_the_process_has_a_reason_and_the_others_run(begin_with: Callable[[str], None]) -> None:
    """The one at work when the process died is blamed, and the rest is done in another process."""
    begin_with(killed_at(1))
    forms = [Form("bad", b"words"), Form("deadly", chain()), Form("fine", chain())]
    answers = remote.outputs(LocalPlace(), forms, samples(3), 32)
    assert set(answers.outputs) == {"fine"}
    assert "SIGSEGV" in answers.failures["deadly"]
    assert "cannot load" in answers.failures["bad"]


@pytest.mark.parametrize(
    ("code", "fault", "words"),
    [
        ("import sys; sys.modules['onnxruntime'] = None", "E-PLACE-ONNXRUNTIME", "pip install onnxruntime"),
        ("import sys; sys.version_info = (3, 9, 2)", "E-PLACE-PYTHON", "Python 3.10"),
        ("import os; os._exit(3)", "E-PLACE-RUNNER", "exit status 3"),
        ("import os; os.kill(os.getpid(), 11)", "E-PLACE-RUNNER", "SIGSEGV"),
        (killed_at(0), "E-PLACE-MODEL", "SIGSEGV"),
    ],
)
def test_what_is_wrong_there_is_a_clear_error(
    begin_with: Callable[[str], None], code: str, fault: str, words: str
) -> None:
    """A library that is missing, a Python too old, a process that dies before or at a model: code and way out."""
    begin_with(code)
    with pytest.raises(EnvironmentFault) as caught:
        remote.timed(LocalPlace(), [Form("one", chain())], samples(1), QUICK)
    assert caught.value.code == fault
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [exchange.MACHINE, "form-0.json", "outputs-0.npz"])
@pytest.mark.parametrize("answer", [b"", b"{", b"PK\x03\x04 and so on"])
def test_an_answer_that_cannot_be_read_is_a_clear_error(name: str, answer: bytes) -> None:
    """Cut short or something else: never a traceback, never taken for outputs."""
    place = Answering(name, lambda data: answer)
    with pytest.raises(EnvironmentFault) as caught:
        remote.outputs(place, [Form("one", chain())], samples(3), 32)
    assert caught.value.code == "E-PLACE-ANSWER"


def test_the_runner_needs_numpy_and_onnxruntime_only(begin_with: Callable[[str], None]) -> None:
    """It works where none of the other libraries that edgeopt knows can be imported."""
    others = ("msgspec", "click", "onnx", "paho", "rich", "PIL", "tomli", "openvino", "google")
    begin_with(f"import sys\nfor name in {others}: sys.modules[name] = None\n")
    assert remote.outputs(LocalPlace(), [Form("one", chain())], samples(3), 32).failures == {}


def test_the_same_sources_give_the_same_runner() -> None:
    """Packed twice it is the same, it holds our own modules alone, and no data."""
    assert bundle.packed() == bundle.packed()
    names = zipfile.ZipFile(io.BytesIO(bundle.packed())).namelist()
    assert "__main__.py" in names
    assert {name.partition("/")[0] for name in names} == {"__main__.py", "benchmarks", "devices", "edge_runtime"}


def test_the_start_is_written_for_old_pythons() -> None:
    """Python 3.6 can read the file that tells it that it is too old."""
    text = (resources.files("benchmarks") / "start.py").read_text(encoding="utf-8")
    assert ast.parse(text, feature_version=(3, 6))


def test_forms_are_timed_against_each_other() -> None:
    """Times, memory and conditions come back for each form; the first is the reference."""
    forms = [Form("one", chain()), Form("two", chain(3.0), SessionSettings(threads=2))]
    seen: list[int] = []
    timing = remote.timed(LocalPlace(), forms, samples(1), QUICK, lambda done, total: seen.append(done))
    assert timing.comparison.speedups[0].value == 1.0
    assert all(0 < interval.low <= interval.value <= interval.high for interval in timing.comparison.timings)
    assert set(timing.memory) == {"one", "two"}
    assert all(peak > 10_000_000 for peak in timing.memory.values())
    assert seen == [1, 2, 3, 4, 5, 6]
    assert timing.refused is None


def test_each_form_can_have_its_own_inputs() -> None:
    """Models that take different batches are timed in one run."""
    forms = [Form("three", chain(batch=3)), Form("five", chain(batch=5))]
    timing = remote.timed(LocalPlace(), forms, [samples(3), samples(5)], QUICK)
    assert len(timing.comparison.timings) == 2


def test_a_model_that_does_not_run_cannot_be_timed() -> None:
    """The error names the form and the engine's reason."""
    with pytest.raises(EnvironmentFault, match="words does not run at local") as caught:
        remote.timed(LocalPlace(), [Form("one", chain()), Form("words", b"words")], samples(1), QUICK)
    assert caught.value.code == "E-PLACE-MODEL"


@pytest.mark.parametrize("field", ["throttling", "throttled_since_boot"])
def test_a_run_while_the_processor_was_held_back_is_refused(field: str) -> None:
    """Held back at the end, or in between by the bit that stays: the figures are no evidence, and it is said why."""

    def heat(data: bytes) -> bytes:
        answer = json.loads(data)
        answer["after"][field] = {"frozenset": ["under-voltage"]}
        return json.dumps(answer).encode()

    timing = remote.timed(Answering(exchange.ANSWER, heat), [Form("one", chain())], samples(1), QUICK)
    assert timing.refused is not None
    assert "under-voltage" in timing.refused
    assert any("under-voltage" in doubt for doubt in timing.doubts)


def test_arrays_travel_as_they_are() -> None:
    """Any name, shape and number type, empty and scalar included; objects are refused."""
    arrays = {"a/b:0": np.zeros((0, 3), np.int8), "": np.float64(1.5), "ünï": np.array([True, False])}
    back = exchange.unpack_arrays(exchange.pack_arrays({name: np.asarray(array) for name, array in arrays.items()}))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == np.asarray(array).dtype
    with pytest.raises(ValueError, match="allow_pickle"):
        exchange.pack_arrays({"a": np.array([{}], dtype=object)})


def test_peak_memory_is_told_or_unknown(tmp_path: Path) -> None:
    """This process has needed some; a kernel that does not say so gives None."""
    assert (peak_resident_bytes() or 0) > 1_000_000
    assert peak_resident_bytes(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name: x\nVmHWM: odd\n", encoding="utf-8")
    assert peak_resident_bytes(tmp_path / "status") is None
