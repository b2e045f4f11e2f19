"""The program that is killed is run by the test, not collected."""

collect_ignore = ["killed_collection.py"]
