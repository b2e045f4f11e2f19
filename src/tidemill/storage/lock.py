"""A home has one owner: the process that holds this lock."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from tidemill.core.errors import Conflict
from tidemill.storage.db.errors import StorageError


class HomeOwned(StorageError, Conflict):
    """Another process owns the home."""


class Owner(msgspec.Struct, frozen=True):
    """Who owns a home.

    Attributes:
        pid: The process.
        address: Where it answers, as a URL; nothing while it does not.
    """

    pid: int
    address: str | None = None


class OwnerLock:
    """Owns a home until it is released or the process ends, however it ends.

    The lock is the kernel's (`flock`), so a killed owner leaves nothing to clean up; the file
    beside it only tells others whom to speak to.

    Args:
        folder: The home.

    Raises:
        HomeOwned: Another process owns it; the message has its pid and address.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "owner.json"
        self._descriptor = os.open(
            folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            owner = read_owner(folder)
            who = f"process {owner.pid}" if owner else "another process"
            where = f" at {owner.address}" if owner and owner.address else ""
            hint = "Speak to it there, or stop it first."
            if not where:
                hint = (
                    "Wait until it ends. While `tidemill up` runs, programs and commands share it."
                )
            raise HomeOwned(f"The home {folder} is owned by {who}{where}.", hint=hint) from None
        self.announce(None)

    def announce(self, address: str | None) -> None:
        """Tell others where this process answers."""
        draft = self._file.with_suffix(".part")
        draft.write_bytes(msgspec.json.encode(Owner(os.getpid(), address)))
        draft.replace(self._file)

    def release(self) -> None:
        """Give the home up."""
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


def read_owner(folder: Path) -> Owner | None:
    """Return who owns a home, or nothing when nobody does."""
    try:
        owner = msgspec.json.decode((folder / "owner.json").read_bytes(), type=Owner)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    try:
        descriptor = os.open(folder / "owner.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return owner
    else:
        return None  # the lock is free: the file is what a killed owner left
    finally:
        os.close(descriptor)
