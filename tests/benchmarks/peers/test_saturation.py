"""Forms built for two targets, run on kernels that saturate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers import saturation
from benchmarks.peers.work import Work
from devices.host import Host, detect, int8_dot_products_saturate

needs_saturation = pytest.mark.skipif(
    not int8_dot_products_saturate() and "cpuid_fault" not in detect().features,
    reason="this processor neither saturates nor can hide that it does not",
)


def _work(folder: Path) -> Work:
    """Return two sums of 32 values to be compared, of which only the first has neighbours that saturate."""
    weight = np.zeros((64, 2), np.float32)
    weight[:32, 0] = weight[::2, 1] = 1
    ends = [helper.make_tensor_value_info(*end) for end in (("x", 1, ["N", 64]), ("y", 1, ["N", 2]))]
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "sums")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    assert ends[0].type.tensor_type.elem_type == TensorProto.FLOAT
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    x = (np.random.default_rng(0).random((300, 64)) ** 0.25).astype(np.float32)
    np.savez(folder / "c.npz", x=x[:100])
    np.savez(folder / "e.npz", x=x[100:], y=(x[100:] @ weight).argmax(axis=1))
    return Work("sums", folder / "m.onnx", folder / "c.npz", folder / "e.npz", metric="top1", max_drop="1pt")


@needs_saturation
def test_the_form_built_for_vnni_loses_what_that_for_avx2_keeps(tmp_path: Path) -> None:
    """Without the guard the former answers wrong in half of the samples; the latter has no layer at risk."""
    rows = saturation.table(_work(tmp_path), tmp_path, saturation.hidden(tmp_path), rounds=6)
    float32, unguarded, guarded, safe = rows
    assert float32.metric == 1.0
    assert unguarded.metric < 0.7
    assert min(guarded.metric, safe.metric) > 0.95
    assert [row.at_risk for row in rows] == [0, 1, 1, 0]
    assert all(row.speedup[1] <= row.speedup[0] <= row.speedup[2] for row in rows)


def test_a_processor_that_cannot_hide_vnni_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed is named."""
    host = Host("x86_64", "a processor", frozenset({"avx2", "avx512_vnni"}), 2, None, None, "Linux")
    monkeypatch.setattr(saturation, "detect", lambda: host)
    monkeypatch.setattr(saturation, "int8_dot_products_saturate", lambda: False)
    with pytest.raises(RuntimeError, match="cpuid_fault"):
        saturation.hidden(tmp_path)
