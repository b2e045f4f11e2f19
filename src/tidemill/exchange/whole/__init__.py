"""The whole home as Parquet, JSON and plain files, and back."""
