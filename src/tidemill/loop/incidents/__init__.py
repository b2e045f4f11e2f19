"""Incidents: what happened around alerts, on one time line, by the causes that facts name."""
