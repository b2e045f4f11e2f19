"""Label join, detectors, realised and estimated performance, findings."""
