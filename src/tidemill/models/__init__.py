"""The bundle: manifest, signature, ONNX twin; and how each framework saves, loads and converts."""
