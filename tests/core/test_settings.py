"""Settings: who comes before whom, and what cannot be set."""

from __future__ import annotations

import pytest

from tidemill.core.settings import (
    SETTINGS,
    BadSetting,
    resolve,
    without_password,
    without_secrets,
)


def test_a_flag_comes_before_a_variable_before_the_file_before_the_default() -> None:
    file: dict[str, bool | int | float | str] = {"port": 3, "workers": 3, "tick": 3, "host": "c"}
    environment = {"TIDEMILL_PORT": "2", "TIDEMILL_WORKERS": "2", "TIDEMILL_HOST": "", "PATH": "x"}
    found = resolve(flags={"port": 1, "workers": None}, environment=environment, file=file)
    said = {name: (r.value, r.origin) for name, r in found.items()}
    assert said["port"] == (1, "--port")
    assert said["workers"] == (2, "TIDEMILL_WORKERS")
    assert said["host"] == ("c", "tidemill.toml")
    assert said["tick"] == (3.0, "tidemill.toml")
    assert said["serve_port"] == (8751, "default")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIDEMILL_PORT", "http"),
        ("TIDEMILL_PORT", "65536"),
        ("TIDEMILL_PORT", "-1"),
        ("TIDEMILL_WORKERS", "0"),
        ("TIDEMILL_WORKERS", "9" * 5000),
        ("TIDEMILL_WORKERS", "²"),
        ("TIDEMILL_TICK", "nan"),
        ("TIDEMILL_TICK", "0"),
        ("TIDEMILL_HOST", "  "),
        ("TIDEMILL_WORKER_MEMORY", "63"),
        ("TIDEMILL_WORKER_MEMORY", "1.5"),
    ],
)
def test_a_malformed_variable_is_named_with_what_was_expected(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"{variable} is") as caught:
        resolve(environment={variable: value})
    assert caught.value.expected


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadSetting, match=r"'prot'.*'port'"):
        resolve(file={"prot": 1})


def test_every_setting_has_its_own_name_and_a_sentence() -> None:
    assert len({s.name for s in SETTINGS}) == len(SETTINGS)
    assert all(s.sentence.endswith(".") for s in SETTINGS)
    assert all(r.value == s.default for s, r in zip(SETTINGS, resolve().values(), strict=True))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@db/mill",
        "postgresql://ada:s/e#c?r:secret@db/mill",
        "postgresql://ada@db/mill?password=secret",
        "postgresql+psycopg://ada:secret@db/mill?sslpassword=secret&password=secret",
        "postgres://:secret@db/mill",
    ],
)
def test_a_database_is_shown_without_its_password(url: str) -> None:
    shown = without_password(url)
    assert "secret" not in shown
    assert shown.startswith("postgresql://")
    assert shown.endswith("db/mill")
    assert without_password(shown) == shown


def test_what_may_hold_a_password_is_not_handed_on() -> None:
    given = {"TIDEMILL_DATABASE": "postgresql://ada:secret@db/mill", "TIDEMILL_PORT": "1", "A": "b"}
    assert without_secrets(given) == {"TIDEMILL_PORT": "1", "A": "b"}
