"""The data plane: bundles in, predictions out. Opens no database and needs no control plane."""
