"""Trains the demonstration's model, optimizer/demo/bearing_cnn.onnx; see the README beside this file.

Run from the repository root, in an environment with edgeopt installed: python docs/demo_model/train.py [OUTPUT.onnx]
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

from edge_runtime.sources.synthetic import BURST_SAMPLES
from optimizer.demo.data import LABELS, MODEL, TRAINING_SEED, VALIDATION_SEED, labelled_bursts

SEED = 7
EPOCHS = 24
BATCH = 128
OPSET = 17
NORMAL_WEIGHT = 3.0  # a false alarm costs more than noticing a faint fault a little later


def make_network() -> nn.Sequential:
    """Return four dense convolutions with batch norm, a mean over time and one linear layer: logits per class."""
    layers: list[nn.Module] = []
    channels = 1
    for filters, kernel, stride in ((32, 31, 4), (32, 9, 1), (64, 5, 2), (64, 3, 2)):
        convolution = nn.Conv1d(channels, filters, kernel, stride, padding=kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm1d(filters), nn.ReLU()]
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, len(LABELS)))


def accuracy(network: nn.Module, bursts: torch.Tensor, classes: torch.Tensor) -> float:
    """Return the share of bursts whose largest logit is that of their class."""
    network.eval()
    with torch.no_grad():
        return float((network(bursts).argmax(1) == classes).float().mean())


def train(network: nn.Module) -> None:
    """Fit the network in place and print the validation accuracy after every epoch."""
    bursts, classes = map(torch.from_numpy, labelled_bursts(TRAINING_SEED, 24_000))
    validation = tuple(map(torch.from_numpy, labelled_bursts(VALIDATION_SEED, 3_000)))
    steps = EPOCHS * -(-len(bursts) // BATCH)
    weights = torch.tensor([NORMAL_WEIGHT if label == "normal" else 1.0 for label in LABELS])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        for rows in torch.randperm(len(bursts)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(bursts[rows]), classes[rows], weights).backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1:2}/{EPOCHS}  validation accuracy {accuracy(network, *validation):.4f}", flush=True)


def export(network: nn.Module, target: str) -> None:
    """Write the network, with class probabilities as its output, as one ONNX file that takes any batch size."""
    torch.onnx.export(
        nn.Sequential(network, nn.Softmax(dim=1)).eval(),
        (torch.zeros(1, 1, BURST_SAMPLES),),
        target,
        dynamo=False,  # the older exporter folds the batch norms and needs no further package
        opset_version=OPSET,
        input_names=["vibration"],
        output_names=["probabilities"],
        dynamic_axes={"vibration": {0: "N"}, "probabilities": {0: "N"}},
    )


def main() -> None:
    """Train with fixed seeds on one thread, so that the same machine gives the same model again."""
    started = time.monotonic()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = make_network()
    train(network)
    target = sys.argv[1] if len(sys.argv) > 1 else str(MODEL)
    export(network, target)
    print(f"wrote {target} after {time.monotonic() - started:.0f} s, trained with torch {torch.__version__}")


if __name__ == "__main__":
    main()
