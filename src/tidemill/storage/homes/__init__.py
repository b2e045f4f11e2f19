"""What makes a folder a home: what it says of itself, and where it keeps its records."""
