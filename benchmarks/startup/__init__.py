"""Measures start-up, import, memory and the demonstration."""
