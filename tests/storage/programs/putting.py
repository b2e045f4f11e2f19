"""Stores a blob and says so. Run as: putting.py FOLDER TEXT."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tidemill.storage.blobs.local import LocalBlobs

if __name__ == "__main__":
    LocalBlobs(Path(sys.argv[1])).put(sys.argv[2].encode())
    os.write(1, b"acknowledged")
