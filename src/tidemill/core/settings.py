"""The settings of an installation: flag, then `TIDEMILL_…`, then `tidemill.toml`, then default.

A setting is a row of `SETTINGS`; the manual and `tidemill config show` are made from the rows. What
a model does is no setting: that is policy, and has its own sections in `tidemill.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from tidemill.core.errors import Usage, nearest

Value = bool | int | float | str
Kind = Literal[
    "text",
    "port",
    "optional port",
    "count",
    "many",
    "seconds",
    "optional megabytes",
    "database",
]
SQLITE = "sqlite"
"""The word for a file in the home, in the place of a database's URL."""


class BadSetting(Usage):
    """A setting is unknown, or has a value that it cannot have."""


class Setting(msgspec.Struct, frozen=True):
    """One thing that can be set.

    Attributes:
        name: In `[settings]`; a flag's name but for its dashes.
        kind: What its value may be.
        default: Its value where nobody says otherwise.
        sentence: What it means.
        in_file: Whether `tidemill.toml` may set it; what finds the file cannot stand in it.
        secret: Whether its variable may hold a password, which other processes must not see.
    """

    name: str
    kind: Kind
    default: Value
    sentence: str
    in_file: bool = True
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it.

        Example:
            >>> Setting("serve_port", "port", 1, "").variable
            'TIDEMILL_SERVE_PORT'
        """
        return f"TIDEMILL_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The flag that sets it on the command line."""
        return f"--{self.name.replace('_', '-')}"


SETTINGS = (
    Setting("home", "text", ".tidemill", "The folder of the home.", in_file=False),
    Setting(
        "database",
        "database",
        SQLITE,
        "The PostgreSQL database of the home, as a URL; or `sqlite` for a file in the home.",
        secret=True,
    ),
    Setting("host", "text", "127.0.0.1", "The address that `tidemill up` listens on."),
    Setting("port", "port", 8750, "The port of the page and the API."),
    Setting("serve_port", "port", 8751, "The port of the workers, where predictions are made."),
    Setting("grpc_port", "optional port", "off", "The port of the workers for gRPC, or `off`."),
    Setting("workers", "count", 1, "How many worker processes make predictions."),
    Setting(
        "worker_memory",
        "optional megabytes",
        "off",
        "How many MB of memory a worker may take before another takes its place, or `off`.",
    ),
    Setting(
        "allow_hosts",
        "text",
        "none",
        "The names by which clients may call the workers beside localhost, with commas between.",
    ),
    Setting("max_body", "count", 32, "The largest body of a request to the workers, in MiB."),
    Setting("max_rows", "many", 200_000, "The rows in a worker's hands beyond which it says 429."),
    Setting(
        "access_log",
        "text",
        "off",
        "A file with a line for each request to the workers, or `off`.",
    ),
    Setting("tick", "seconds", 30.0, "How often the loop goes around, in seconds."),
    Setting(
        "webhook_hosts",
        "text",
        "none",
        "The hosts that webhooks may be sent to, with commas between; or none, or any.",
    ),
    Setting(
        "experiment", "text", "Default", "The experiment of runs that name none.", in_file=False
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_EXPECTED: dict[Kind, str] = {
    "text": "text that is not empty",
    "port": "a port, from 0 (any free one) to 65535",
    "optional port": "a port, from 1 to 65535, or `off`",
    "count": "a whole number from 1 to 1024",
    "many": "a whole number from 1 to 1000000000",
    "seconds": "a number of seconds above 0, at most 86400",
    "database": "postgresql://user@host/name, or `sqlite` for a file in the home",
    "optional megabytes": "megabytes, a whole number from 64, or `off`",
}
_POSTGRESQL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")
_PASSWORD = re.compile(r"(?P<before>://[^:/?#@]*):[^@]*(?=@)")
_QUERY_PASSWORD = re.compile(r"(?P<before>[?&])(?:(?:ssl)?password=[^&]*(?:&|$))+")


class Resolved(msgspec.Struct, frozen=True):
    """A setting's value, and who said so.

    Attributes:
        name: The setting.
        value: Its value.
        origin: The flag, the variable, the file, or `default`.
        sentence: What it means.
    """

    name: str
    value: Value
    origin: str
    sentence: str


def resolve(
    *,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Mapping[str, Value] | None = None,
    filename: str = "tidemill.toml",
) -> dict[str, Resolved]:
    """Return the value of every setting and where it came from.

    Args:
        flags: What was given on the command line; a flag that is `None` was not given.
        environment: The environment's variables; those of other programs are passed over.
        file: The table `[settings]`.
        filename: What its file is called.

    Raises:
        BadSetting: A value cannot be read, or the file names a setting that does not exist.

    Example:
        >>> found = resolve(flags={"port": 9000}, environment={"TIDEMILL_WORKERS": "4"})
        >>> found["port"].value, found["port"].origin
        (9000, '--port')
        >>> found["workers"].value, found["workers"].origin, found["host"].origin
        (4, 'TIDEMILL_WORKERS', 'default')
    """
    flags, environment, file = flags or {}, environment or {}, file or {}
    for name in file:
        setting_in_file(name, where=filename)
    return {s.name: _resolved(s, flags, environment, file, filename) for s in SETTINGS}


def resolve_one(
    name: str,
    *,
    environment: Mapping[str, str],
    file: Mapping[str, Value],
    filename: str = "tidemill.toml",
) -> Resolved:
    """Return one setting's value and where it came from, whatever the others are.

    Raises:
        BadSetting: Its value cannot be read.
    """
    return _resolved(_BY_NAME[name], {}, environment, file, filename)


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown, kept and compared.

    Example:
        >>> without_password("postgres://ada:secret@db.example/mill?password=x&sslmode=require")
        'postgresql://ada@db.example/mill?sslmode=require'
    """
    shown = _PASSWORD.sub(r"\g<before>", url)
    shown = _QUERY_PASSWORD.sub(r"\g<before>", shown).rstrip("?&")
    return _POSTGRESQL.sub("postgresql://", shown, count=1)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process may be given that runs what users wrote."""
    secret = {s.variable for s in SETTINGS if s.secret}
    return {name: value for name, value in environment.items() if name not in secret}


def setting_in_file(name: str, *, where: str) -> Setting:
    """Return the setting of a name that stands in a file.

    Raises:
        BadSetting: There is none, or a file cannot set it.
    """
    setting = _BY_NAME.get(name)
    if setting is None:
        known = [s.name for s in SETTINGS if s.in_file]
        raise BadSetting(f"{where}: there is no setting {name!r}.", expected=nearest(name, known))
    if not setting.in_file:
        said = f"{where}: the setting {name!r} cannot stand in a file."
        raise BadSetting(said, expected=f"{setting.variable} in the environment")
    return setting


def checked(setting: Setting, value: object, *, where: str) -> Value:
    """Return a value as the setting's type, from that type or, for numbers, from text.

    Raises:
        BadSetting: The setting cannot have that value.
    """
    read = _READERS[setting.kind](value)
    if read is None:
        shown = without_password(value) if isinstance(value, str) else value
        raise BadSetting(f"{where} is {shown!r}.", expected=_EXPECTED[setting.kind])
    return read


def checked_in_file(setting: Setting, value: object, *, where: str) -> Value:
    """Return a value that stands in a file, which people keep in git.

    Raises:
        BadSetting: The setting cannot have that value, or it holds a password.
    """
    read = checked(setting, value, where=where)
    if setting.secret and _has_password(str(read)):
        raise BadSetting(
            f"{where} has a password in it.",
            expected=f"{without_password(str(read))}, and the password in PGPASSWORD, ~/.pgpass, "
            f"or {setting.variable}",
        )
    return read


def _resolved(
    setting: Setting,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, Value],
    filename: str,
) -> Resolved:
    name = setting.name
    value: object
    if flags.get(name) is not None:
        value, origin, where = flags[name], setting.flag, setting.flag
    elif environment.get(setting.variable):
        value, origin, where = environment[setting.variable], setting.variable, setting.variable
    elif name in file:
        value, origin, where = file[name], filename, f"{filename}: settings.{name}"
    else:
        return Resolved(name, setting.default, "default", setting.sentence)
    check = checked_in_file if origin == filename else checked
    return Resolved(name, check(setting, value, where=where), origin, setting.sentence)


def _text(value: object) -> str | None:
    said = str(value).strip() if not isinstance(value, bool | int | float) else ""
    return said if said and "\0" not in said else None


def _whole(value: object, least: int, most: int) -> int | None:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:20])
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if least <= value <= most else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 < number <= 86400 else None


def _database(value: object) -> str | None:
    said = _text(value)
    if said is None or said == SQLITE:
        return said
    found = _POSTGRESQL.match(said)
    return None if found is None else f"postgresql://{said[found.end() :]}"


def _has_password(url: str) -> bool:
    return any(pattern.search(url) for pattern in (_PASSWORD, _QUERY_PASSWORD))


_READERS: dict[Kind, Callable[[object], Value | None]] = {
    "text": _text,
    "port": lambda value: _whole(value, 0, 65535),
    "optional port": lambda value: "off" if value == "off" else _whole(value, 1, 65535),
    "count": lambda value: _whole(value, 1, 1024),
    "many": lambda value: _whole(value, 1, 10**9),
    "seconds": _seconds,
    "database": _database,
    "optional megabytes": lambda value: "off" if value == "off" else _whole(value, 64, 1 << 24),
}
