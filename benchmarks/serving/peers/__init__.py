"""Programs that serve the same model by other servers; each runs in an environment of its own."""
