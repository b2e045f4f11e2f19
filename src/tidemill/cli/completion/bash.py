"""Completion for bash."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.cli.completion.tree import Place

_SCRIPT = """\
# bash completion for tidemill; put this into ~/.bashrc:
#     source <(tidemill completion bash)
_tidemill_files() {{
    local IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "$1"))
}}
_tidemill() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    local place="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "${{place:+$place }}${{COMP_WORDS[index]}}" in
            {known}) place="${{place:+$place }}${{COMP_WORDS[index]}}" ;;
        esac
    done
    COMPREPLY=()
    case "$place $prev" in
{values}
    esac
    local commands="" options=""
    case "$place" in
{here}
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ -n $commands ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    else
        _tidemill_files "$cur"
    fi
}}
complete -o filenames -F _tidemill tidemill
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
            words = " ".join(option.choices)
            chosen = f'COMPREPLY=($(compgen -W "{words}" -- "$cur"))'
            wanted = chosen if option.choices else '_tidemill_files "$cur"'
            lines.append(f"        {after}) {wanted}; return ;;")
    return lines


def _here(place: Place) -> str:
    commands = " ".join([*(name for name, _ in place.commands), *place.choices])
    options = " ".join(flag for option in place.options for flag in option.flags)
    return f'        "{" ".join(place.words)}") commands="{commands}" options="{options}" ;;'
