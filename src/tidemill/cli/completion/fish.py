"""Completion for fish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.cli.completion.tree import Option, Place

_SCRIPT = """\
# fish completion for tidemill; type:
#     tidemill completion fish > ~/.config/fish/completions/tidemill.fish
function __tidemill_at
    set -l place
    for word in (commandline -opc)[2..]
        switch (string join " " $place $word)
            case {known}
                set -a place $word
        end
    end
    test "$place" = "$argv[1]"
end
{lines}
"""


def script(places: Sequence[Place]) -> str:
    """Return the script."""
    known = " ".join(f"'{' '.join(place.words)}'" for place in places if place.words)
    lines = (line for place in places for line in _lines(place))
    return _SCRIPT.format(known=known, lines="\n".join(lines))


def _lines(place: Place) -> Iterator[str]:
    start = f"complete -c tidemill -n \"__tidemill_at '{' '.join(place.words)}'\""
    for name, told in [*place.commands, *((choice, "") for choice in place.choices)]:
        yield f"{start} -f -a '{name}' -d '{told}'"
    for option in place.options:
        yield f"{start} {_option(option)} -d '{option.told}'"


def _option(option: Option) -> str:
    names = " ".join(
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
    )
    if option.choices:
        return f"{names} -x -a '{' '.join(option.choices)}'"
    return f"{names} {'-r -F' if option.is_path else '-x' if option.takes_value else '-f'}"
