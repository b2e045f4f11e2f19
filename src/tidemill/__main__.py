"""Runs the command line: `python -m tidemill`."""

from tidemill.cli.entry import main

if __name__ == "__main__":
    main()
