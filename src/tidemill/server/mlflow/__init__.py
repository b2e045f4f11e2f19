"""The MLflow-compatible door: it translates to the tracking room and keeps nothing itself."""
