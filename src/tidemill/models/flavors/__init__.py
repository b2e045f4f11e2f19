"""How each framework saves, loads and converts: a plugin a file."""
