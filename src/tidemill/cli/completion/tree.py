"""The command line as a list of places, each with what may follow there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Option(NamedTuple):
    """An option.

    Attributes:
        flags: Its names.
        told: What it does.
        choices: The values that it may have, where they are few.
        takes_value: Whether a value follows.
        is_path: Whether that value is a path.
    """

    flags: tuple[str, ...]
    told: str
    choices: tuple[str, ...]
    takes_value: bool
    is_path: bool


class Place(NamedTuple):
    """Where one is after some commands.

    Attributes:
        words: The commands so far.
        commands: What may follow, and what each is for.
        choices: The values of the first argument, where they are few.
        options: What may be given here.
    """

    words: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    choices: tuple[str, ...]
    options: tuple[Option, ...]


def places(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[Place]:
    """Go through every place of a command line, the beginning first."""
    commands: list[tuple[str, str]] = []
    choices: tuple[str, ...] = ()
    options: list[Option] = []
    below: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {entry.dest: entry.help or "" for entry in action._choices_actions}
            commands += [(name, _plain(helps.get(name, ""))) for name in action.choices]
            below += action.choices.items()
        elif action.option_strings:
            options.append(_option(action))
        elif action.choices and not choices:
            choices = tuple(map(str, action.choices))
    yield Place(words, tuple(commands), choices, tuple(options))
    for name, inner in below:
        yield from places(inner, (*words, name))


def _option(action: argparse.Action) -> Option:
    takes_value = action.nargs != 0
    return Option(
        flags=tuple(action.option_strings),
        told=_plain(action.help or ""),
        choices=tuple(map(str, action.choices or ())),
        takes_value=takes_value,
        is_path=takes_value and action.type is Path,
    )


def _plain(text: str) -> str:
    """Return a help text as it may stand between quotes in any shell."""
    return "".join(c for c in text.replace("%%", "%") if c not in "'\"`$\\:[]\n").strip()
