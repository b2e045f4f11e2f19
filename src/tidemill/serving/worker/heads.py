"""What stands before a request's body. Clients repeat it to the letter, so it is read once."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.serving.worker.http import Head

_REMEMBERED = 1000
_LONGEST = 2048
"""A longer head is not worth remembering."""
_LARGEST = 8192
"""What is larger with its body is read in pieces anyway."""
_END = b"\r\n\r\n"


class Heads:
    """The heads that came lately, by their bytes and with the length of the body that follows.

    Only a head that the parser took with a body of a plain length after it, on a connection that
    goes on, is remembered: to the same bytes it would say the same.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Head, int]] = {}

    def whole(self, data: memoryview) -> tuple[Head, bytes] | None:
        """Return the head and the body of a request, where the bytes are just that and known."""
        if len(data) > _LARGEST:
            return None
        content = bytes(data)
        end = content.find(_END) + 4
        found = self._known.get(content[:end])
        if found is None or len(content) - end != found[1]:
            return None
        return found[0], content[end:]

    def remember(self, data: memoryview, head: Head, length: int) -> None:
        """Remember the head of a request that came alone, and as a whole."""
        end = len(data) - length
        if end > _LONGEST or not _is_plain(head.headers, length):
            return
        written = bytes(data[:end])
        # What precedes an empty line only once is the head, the whole head, and nothing else.
        if written.find(_END) != end - 4:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[written] = head, length


def _is_plain(headers: Mapping[bytes, bytes], length: int) -> bool:
    return (
        headers.get(b"content-length", b"0") == b"%d" % length
        and b"transfer-encoding" not in headers
        and b"expect" not in headers
        and b"upgrade" not in headers
        and b"traceparent" not in headers  # Never the same twice.
    )
