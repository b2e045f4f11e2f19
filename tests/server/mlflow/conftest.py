"""The program that drives the client is run by its own interpreter, not collected here."""

collect_ignore = ["client_flow.py"]
