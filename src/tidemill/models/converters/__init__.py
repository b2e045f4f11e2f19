"""How scikit-learn's parts are written as ONNX operators, exactly and in double precision."""
