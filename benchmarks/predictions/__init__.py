"""Measures the prediction log."""
