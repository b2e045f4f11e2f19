"""The cellar: a database with one writer, and content-addressed blobs."""
