"""Models without a twin: each in child processes of its own, in its own environment."""
