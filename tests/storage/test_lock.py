"""One owner for a home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.core.errors import Conflict
from tidemill.storage.lock import HomeOwned, Owner, OwnerLock, read_owner

HOLDER = """
import sys, time
from pathlib import Path
from tidemill.storage.lock import OwnerLock
lock = OwnerLock(Path(sys.argv[1]))
lock.announce("http://127.0.0.1:8765")
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_opener_is_told_who_and_where(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path)
    with pytest.raises(HomeOwned, match="While `tidemill up` runs"):
        OwnerLock(tmp_path)
    lock.announce("http://127.0.0.1:1234")
    with pytest.raises(HomeOwned, match=rf"process {os.getpid()} at http://127.0.0.1:1234") as told:
        OwnerLock(tmp_path)
    assert isinstance(told.value, Conflict)
    assert read_owner(tmp_path) == Owner(os.getpid(), "http://127.0.0.1:1234")
    lock.release()
    assert read_owner(tmp_path) is None
    OwnerLock(tmp_path).release()


def test_a_killed_owner_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert read_owner(tmp_path) == Owner(holder.pid, "http://127.0.0.1:8765")
        with pytest.raises(HomeOwned, match=f"process {holder.pid}"):
            OwnerLock(tmp_path)
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / "owner.json").exists()
    assert read_owner(tmp_path) is None
    lock = OwnerLock(tmp_path)
    assert read_owner(tmp_path) == Owner(os.getpid(), None)
    lock.release()


def test_a_torn_owner_file_is_no_owner(tmp_path: Path) -> None:
    (tmp_path / "owner.json").write_bytes(b'{"pid": 1')
    assert read_owner(tmp_path) is None
    assert read_owner(tmp_path / "nowhere") is None
