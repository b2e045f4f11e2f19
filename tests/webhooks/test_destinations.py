"""No message goes where it may not, however the address is spelled."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.webhooks.destinations import Allowed
from tidemill.webhooks.errors import BadWebhook, DestinationRefused
from tidemill.webhooks.records import Message
from tidemill.webhooks.sender import send

INSIDE = [
    "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fc00::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_though_any_is_allowed(host: str) -> None:
    with pytest.raises(DestinationRefused, match="inside"):
        Allowed("any").place(f"https://{host}/x")


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "hooks", "http://hooks.example.com", "file:///etc/passwd", "gopher://x.org/"),
        *("https://", "https:///x", "https://a@hooks.example.com/", "https://a:b@x.org"),
        *("https://hooks.example.com\r\nX: y", "https://hooks.example.com/\x00", "https://ü.org/"),
        *("https://2130706433/", "https://127.1/", "https://0177.0.0.1/", "https://x.org\\@y.org/"),
        *(
            "https://x.org:99999/",
            "https://x.org/#a",
            "https://[::1",
            f"https://x.org/{'a' * 3000}",
        ),
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(BadWebhook):
        Allowed("any").place(url)


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ("none", "https://hooks.example.com/"),
        ("hooks.example.com", "https://example.com/"),
        ("hooks.example.com", "https://hooks.example.com.evil.org/"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://badexample.com/"),
        ("hooks.example.com:8443", "https://hooks.example.com/"),
        ("127.0.0.1:9000", "https://127.0.0.1:9001/"),
    ],
)
def test_a_host_that_is_not_named_is_refused(hosts: str, url: str) -> None:
    with pytest.raises(DestinationRefused):
        Allowed(hosts).place(url)


@pytest.mark.parametrize(
    "hosts", ["", "a b", "https://x.org", "x.org:0", "x.org:x", "*", "none,any"]
)
def test_a_setting_that_names_no_hosts_is_refused(hosts: str) -> None:
    if hosts == "none,any":
        assert not Allowed(hosts).permits("x.org", 443)
        return
    with pytest.raises(BadWebhook):
        Allowed(hosts)


def test_what_is_named_is_allowed() -> None:
    allowed = Allowed("Hooks.Example.com, *.example.org:8443, 127.0.0.1:9000, [::1]:9000")
    for url in (
        "https://hooks.example.com/a?b=c",
        "https://HOOKS.example.com:444/",
        "https://a.example.org:8443/",
        "http://127.0.0.1:9000/x",
        "http://[::1]:9000/",
    ):
        allowed.place(url)
    place = allowed.place("https://hooks.example.com/a?b=c")
    assert (place.path, place.authority) == ("/a?b=c", "hooks.example.com")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What names resolve to, one answer after the other, as a rebinding server gives them."""
    given: list[list[str]] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (address, port)) for address in given.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return given


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["::ffff:10.0.0.1"], ["fe80::1%eth0"]],
)
def test_a_name_that_leads_inside_is_refused(answers: list[list[str]], found: list[str]) -> None:
    answers.append(found)
    allowed = Allowed("hooks.example.com")
    with pytest.raises(DestinationRefused, match="inside"):
        allowed.resolve(allowed.place("https://hooks.example.com/"))


def test_a_name_is_looked_up_once(
    answers: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked, whatever the name says next."""
    answers += [["8.8.8.8"], ["127.0.0.1"]]
    asked: list[object] = []

    def connect(address: object, timeout: float) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr(socket, "create_connection", connect)
    url = "https://hooks.example.com/"
    sent = send(Message(id="1", url=url, headers={}, body="{}", allowed="hooks.example.com"))
    assert "nobody" in sent.error
    assert asked == [("8.8.8.8", 443)]
    assert answers == [["127.0.0.1"]]


@given(
    st.text(max_size=40) | st.from_regex(r"https?://[0-9a-fx.:\[\]%@/\\#?]{1,30}", fullmatch=True)
)
def test_no_address_makes_it_fail_otherwise(url: str) -> None:
    try:
        place = Allowed("any").place(url)
    except (BadWebhook, DestinationRefused):
        return
    assert place.scheme == "https"
