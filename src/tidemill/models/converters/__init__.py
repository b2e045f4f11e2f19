"""Our own converters to ONNX, where the usual one is missing or not exact."""
