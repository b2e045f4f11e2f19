"""Tidemill: the closed loop for models in production."""

__version__ = "0.1.0"
