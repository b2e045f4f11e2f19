"""The letterbox between serving and monitoring: prediction and label records in files."""
