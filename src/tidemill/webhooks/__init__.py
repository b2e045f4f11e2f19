"""Tells other systems what happens to models, by HTTP, once a home allows it."""
