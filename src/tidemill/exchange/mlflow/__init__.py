"""Reads what MLflow keeps: a database, a folder, or a server."""
