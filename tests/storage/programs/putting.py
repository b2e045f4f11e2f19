"""Stores a blob and says so. Run as: putting.py FOLDER TEXT."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tidemill.storage.blobs.local import LocalBlobs

blobs = LocalBlobs(Path(sys.argv[1]))
blobs.put(sys.argv[2].encode())
os.write(1, b"acknowledged")
