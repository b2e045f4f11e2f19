"""Alerts: what of all that was found a person is told, once, and until it is over."""
