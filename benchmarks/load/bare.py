"""A process that holds one onnxruntime session and nothing else: what memory is compared with.

python bare.py MODEL.onnx
"""

import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
wanted = session.get_inputs()[0]
session.run(None, {wanted.name: np.zeros((1, *wanted.shape[1:]), np.float32)})
sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.read()
