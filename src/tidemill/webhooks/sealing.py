"""Secrets of webhooks lie sealed in the database; the key lies beside it, for its owner only."""

from __future__ import annotations

import os
from pathlib import Path

from tidemill.storage.folders import sync_folder
from tidemill.webhooks.errors import SecretUnreadable


class Box:
    """Seals and opens secrets with a key that is made when it is first needed.

    Args:
        path: The key's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def seal(self, secret: str) -> str:
        """Return a secret as it may be kept; an empty one stays empty."""
        from cryptography.fernet import Fernet

        return Fernet(self._key()).encrypt(secret.encode()).decode() if secret else ""

    def open(self, sealed: str) -> str:
        """Return the secret.

        Raises:
            SecretUnreadable: It was sealed with another key.
        """
        from cryptography.fernet import Fernet, InvalidToken

        if not sealed:
            return ""
        try:
            return Fernet(self._key()).decrypt(sealed.encode()).decode()
        except (InvalidToken, ValueError) as error:
            raise SecretUnreadable(
                "The webhook's secret cannot be read: it was sealed in another home.",
                expected=f"the key in {self._path}",
                hint="Set the secret again.",
            ) from error

    def _key(self) -> bytes:
        from cryptography.fernet import Fernet

        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            pass
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".part")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        sync_folder(self._path.parent)
        return self._path.read_bytes()
