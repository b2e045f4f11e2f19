"""What shells complete, written out from the parser: no process starts when Tab is pressed."""
