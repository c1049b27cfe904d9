"""Round weights so that each layer's outputs, not its weights, come out close: learned up or down, without gradients.

Rounding each weight to the nearest step is not best for their sum. The error that rounding puts on a layer's outputs is
d' H d per channel, with d the change of the weights and H = X X' the Gram matrix of the layer's inputs on the samples.
Every weight may go to the step below or above it (Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training
Quantization"); starting from the nearest, each is flipped in turn if that lowers the error, until none does: coordinate
descent, for all output channels at once (Behdin et al. 2023, "QuantEase").

EXPERIMENT
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edge_runtime.inference.engine import Array, Feeds
from optimizer.correct.activations import tensor_values
from optimizer.correct.layers import FloatGraph, Layer, attribute
from optimizer.correct import unfold

BUDGET = 20_000_000_000  # multiply-adds; about 10 s on one core
_SWEEPS = 8
_COLUMNS = 8  # input vectors per weight of a channel: more change no decision
_DAMPING = 0.01  # of the mean square input, so that inputs that the samples leave undecided are rounded to nearest
_HELD_OUT = 4  # every fourth sample decides whether what was learned on the others is kept
_STEPS = 127
_ON_THE_GRID = 1e-3  # of a step: such a weight has no second neighbour


@dataclass(frozen=True)
class Rounded:
    """What became of each layer.

    Attributes:
        data: The model.
        learned: Layer name -> error on held-out samples with the learned rounding, relative to that with the nearest.
        skipped: Layer name -> why it was left as it was.
    """

    data: bytes
    learned: dict[str, float]
    skipped: dict[str, str]


def apply(data: bytes, quantized: Callable[[bytes], bytes], samples: Feeds) -> bytes:
    """Return the model with weights on the int8 grid, rounded by what they do; unchanged where no layer gains.

    The quantizer finds the same scales and the very same codes again. Biases are not touched: correct them afterwards.

    Args:
        data: The simplified float32 model.
        quantized: Not needed.
        samples: Calibration samples; every fourth is held out to judge by.
    """
    del quantized
    return learn(data, samples).data


def learn(data: bytes, samples: Feeds, budget: int = BUDGET) -> Rounded:
    """Learn the rounding of each Conv, Gemm and MatMul, small ones first, as far as the budget goes.

    Args:
        data: The simplified float32 model.
        samples: Calibration samples.
        budget: Multiply-adds in all, counted from shapes: the result does not depend on how fast the machine is.
    """
    graph = FloatGraph(data)
    layers, skipped = _affordable(graph, budget)
    learned = {}
    for layer in layers:
        name = layer.node.name
        train, held = _grams(data, layer, samples)
        rows = unfold.rows_of(layer, layer.weight).astype(np.float64)
        scales = np.abs(rows).max(axis=-1, keepdims=True) / _STEPS
        scales = np.where(scales > np.finfo(np.float32).tiny, scales, 1.0)
        nearest = np.rint(rows / scales)
        best = METHOD(rows / scales, scales, train)
        gain = _error((best - rows / scales) * scales, held) / max(_error((nearest - rows/scales) * scales, held), 1e-300)
        learned[name] = gain
        if gain < 1:
            graph.set_constant(layer.node, 1, unfold.weight_of(layer, best * scales))
    return Rounded(graph.serialize(), learned, skipped)

def _affordable(graph, budget):
    return [l for l in graph.layers() if l.node.op_type != 'ConvTranspose'], {}

def _error(d, gram):
    return float(np.einsum("gok,gkl,gol->", d, gram, d, optimize=True))

def _grams(data, layer, samples):
    rows = unfold.rows_of(layer, layer.weight)
    g, _, k = rows.shape
    parts=[np.zeros((g,k,k)), np.zeros((g,k,k))]
    counts=[0,0]
    n = max(len(v) for v in samples.values())
    most = max(1, -(-_COLUMNS * k // n))
    i = 0
    for values in tensor_values(data, [layer.node.input[0]], samples):
        x = values[layer.node.input[0]]
        for s in x:   # one sample
            c = unfold.columns_of(layer, s[None], most).astype(np.float64)
            which = int(i % _HELD_OUT == _HELD_OUT - 1)
            parts[which] += c.transpose(0,2,1) @ c
            counts[which] += c.shape[1]
            i += 1
    return parts[0]/counts[0], parts[1]/max(counts[1],1)

def cd(exact, scales, gram, codes=None, damping=None):
    damping = _DAMPING if damping is None else damping
    gram = gram + damping * np.trace(gram, axis1=1, axis2=2)[:, None, None]/gram.shape[1] * np.eye(gram.shape[1])
    if codes is None: codes = np.rint(exact)
    codes = codes.copy()
    free = np.abs(exact - np.rint(exact)) > _ON_THE_GRID
    lo = np.floor(exact)
    step = np.where(free, np.where(codes == lo, 1.0, -1.0), 0.0)
    d = (codes - exact)
    g = d @ gram      # in units of scale; scale^2 factors out per row
    for sweep in range(_SWEEPS):
        flips = 0
        for j in range(exact.shape[-1]):
            s = step[..., j]
            delta = 2*s*g[..., j] + s*s*gram[:, j, j][:, None]
            f = delta < 0
            if f.any():
                ch = np.where(f, s, 0.0)
                g += ch[..., None]*gram[:, j, None, :]
                codes[..., j] += ch
                step[..., j] = np.where(f, -s, s)
                flips += int(f.sum())
        if not flips: break
    return codes

def gptq(exact, scales, gram, free=True, damping=None):
    damping = _DAMPING if damping is None else damping
    out=np.empty_like(exact)
    k = exact.shape[-1]
    for gi in range(len(gram)):
        H = gram[gi] + damping*np.trace(gram[gi])/k*np.eye(k) + 1e-30*np.eye(k)
        order=np.argsort(-np.diag(H), kind='stable')
        H=H[np.ix_(order,order)]
        W=exact[gi][:,order].copy(); E=exact[gi][:,order]
        U=np.linalg.cholesky(np.linalg.inv(H)).T
        Q=np.empty_like(W)
        for j in range(k):
            q=np.rint(W[:,j])
            q=np.clip(q, np.floor(E[:,j]+_ON_THE_GRID), np.ceil(E[:,j]-_ON_THE_GRID))
            q=np.where(np.abs(E[:,j]-np.rint(E[:,j]))<_ON_THE_GRID, np.rint(E[:,j]), q)
            Q[:,j]=q
            e=(W[:,j]-q)/U[j,j]
            W[:,j+1:]-=e[:,None]*U[j,j+1:]
        o=np.empty_like(Q); o[:,order]=Q
        out[gi]=o
    return out

def both(exact, scales, gram):
    return cd(exact, scales, gram, gptq(exact, scales, gram))
METHOD = cd
