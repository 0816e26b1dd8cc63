"""The rating model: its features, intervals and ONNX graph. Training and serving share this code."""
