"""The data plane, its supervisor, rollouts, batch scoring and edge bundles."""
