"""Olive's static quantization pass."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "`OnnxStaticQuantization` with its defaults"
DISTRIBUTION = "olive-ai"
# torch first and pinned: what Olive asks for by itself may be a build for GPUs, gigabytes large.
REQUIREMENTS: tuple[tuple[str, ...], ...] = (("torch==2.13.0",), ("olive-ai", "onnxruntime", "requests"))


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize with Olive, its telemetry off; see the package for the contract."""
    os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"
    import olive
    import onnx
    from olive.data.component.dataset import BaseDataset
    from olive.data.registry import Registry

    Registry.register_dataset("peers_samples")(lambda **_: BaseDataset(calibration))
    folder = output.parent / "olive"
    made = olive.run(
        {
            "input_model": {"type": "ONNXModel", "model_path": str(model)},
            "data_configs": [
                {
                    "name": "samples",
                    "load_dataset_config": {"type": "peers_samples"},
                    "dataloader_config": {"type": "no_auto_batch_dataloader"},
                }
            ],
            "passes": {"quantize": {"type": "OnnxStaticQuantization", "data_config": "samples"}},
            "output_dir": str(folder / "out"),
            "cache_dir": str(folder / "cache"),
        }
    )
    best = made.get_best_candidate()
    onnx.save(onnx.load(best.model_path), output)
