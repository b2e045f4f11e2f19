"""Batch scoring: files in, one file out, at the speed of the model and in bounded memory."""
