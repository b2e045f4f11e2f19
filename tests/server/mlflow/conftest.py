"""The programs that drive the client are run by its own interpreter, not collected here."""

collect_ignore = ["client_flow.py", "client_frameworks.py"]
