"""Models that MLflow's client logged, made into bundles."""
