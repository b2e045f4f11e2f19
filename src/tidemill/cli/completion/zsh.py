"""Completion for zsh."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.cli.completion.tree import Place

_SCRIPT = """\
#compdef tidemill
# zsh completion for tidemill; put this into ~/.zshrc, after compinit:
#     source <(tidemill completion zsh)
_tidemill() {{
    local place="" index previous="${{words[CURRENT-1]}}"
    local -a commands options
    for ((index = 2; index < CURRENT; index++)); do
        case "${{place:+$place }}${{words[index]}}" in
            {known}) place="${{place:+$place }}${{words[index]}}" ;;
        esac
    done
    case "$place $previous" in
{values}
    esac
    case "$place" in
{here}
    esac
    if [[ $PREFIX == -* ]]; then
        _describe option options
    elif (( $#commands )); then
        _describe command commands
    else
        _files
    fi
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _tidemill "$@"
else
    compdef _tidemill tidemill
fi
"""


def script(places: Sequence[Place]) -> str:
    """Return the script."""
    return _SCRIPT.format(
        known="|".join(f'"{" ".join(place.words)}"' for place in places if place.words),
        values="\n".join(line for place in places for line in _values(place)),
        here="\n".join(map(_here, places)),
    )


def _values(place: Place) -> list[str]:
    lines = []
    for option in place.options:
        if option.takes_value:
            after = "|".join(f'"{" ".join(place.words)} {flag}"' for flag in option.flags)
            wanted = f"compadd -- {' '.join(option.choices)}" if option.choices else "_files"
            lines.append(f"        {after}) {wanted}; return ;;")
    return lines


def _here(place: Place) -> str:
    named = [*place.commands, *((choice, "") for choice in place.choices)]
    commands = " ".join(f"'{name}:{told}'" for name, told in named)
    flags = [(flag, option.told) for option in place.options for flag in option.flags]
    options = " ".join(f"'{flag}:{told}'" for flag, told in flags)
    return f'        "{" ".join(place.words)}") commands=({commands}) options=({options}) ;;'
