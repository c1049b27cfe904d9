"""Turn a trained ONNX model and data into the best package for a target."""
