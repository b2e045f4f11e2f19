"""The metadata database: engine, one writer, migrations."""
