"""Steps, cache keys, gates, executors, and the supplied model pipeline."""
