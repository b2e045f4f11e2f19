"""Logging files to the active run: from disk, or made of what is handed in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.errors import MissingExtra
from tidemill.sdk.errors import BadLogged
from tidemill.sdk.fluent import current

_IMAGES = {".png", ".jpg", ".jpeg", ".svg", ".pdf", ".webp"}


def log_artifact(local_path: str | Path, artifact_path: str | None = None) -> None:
    """Log a file, or a folder with all that is in it.

    Args:
        local_path: The file or folder.
        artifact_path: The folder among the run's artifacts to put it in.

    Raises:
        BadLogged: There is no such file.
    """
    path = Path(local_path)
    if path.is_dir():
        log_artifacts(path, _below(artifact_path, path.name))
        return
    _require_file(path)
    current().log_file(path, _below(artifact_path, path.name))


def log_artifacts(local_dir: str | Path, artifact_path: str | None = None) -> None:
    """Log all files of a folder, under the paths that they have in it.

    Raises:
        BadLogged: There is no such folder.
    """
    folder = Path(local_dir)
    if not folder.is_dir():
        raise BadLogged(f"{str(folder)!r} is no folder.", expected="the path of a folder")
    run = current()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            run.log_file(file, _below(artifact_path, file.relative_to(folder).as_posix()))


def log_text(text: str, artifact_file: str) -> None:
    """Log a text as a file.

    Raises:
        BadLogged: It is no text.
    """
    if not isinstance(text, str):
        raise BadLogged(
            f"A {type(text).__name__} is no text for {artifact_file!r}.",
            expected="a text",
            hint="Log other values with log_dict(…).",
        )
    current().log_bytes(text.encode(), artifact_file)


def log_dict(dictionary: Any, artifact_file: str) -> None:
    """Log a value as JSON, or as YAML where the file is so called.

    Raises:
        BadLogged: The value cannot be written so.
        MissingExtra: YAML was asked for and PyYAML is not installed.
    """
    try:
        if artifact_file.endswith((".yaml", ".yml")):
            content = msgspec.yaml.encode(dictionary)
        else:
            content = msgspec.json.format(msgspec.json.encode(dictionary), indent=2)
    except ImportError as error:
        raise MissingExtra(
            f"{artifact_file!r} needs PyYAML, which is not installed.",
            hint="Install it with: pip install pyyaml, or log it as .json.",
        ) from error
    except (TypeError, ValueError) as error:
        raise BadLogged(
            f"The value for {artifact_file!r} cannot be written: {error}.",
            expected="dictionaries, lists, texts, numbers, moments",
        ) from error
    current().log_bytes(content, artifact_file)


def log_figure(figure: Any, artifact_file: str) -> None:
    """Log a figure of Matplotlib as an image, or one of Plotly as HTML.

    Raises:
        BadLogged: The file's ending or the figure is of no known kind.
    """
    ending = Path(artifact_file).suffix.lower()
    if hasattr(figure, "savefig") and ending in _IMAGES:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending.removeprefix("."), bbox_inches="tight")
        content = buffer.getvalue()
    elif hasattr(figure, "to_html") and ending == ".html":
        content = figure.to_html(include_plotlyjs="cdn").encode()
    else:
        raise BadLogged(
            f"A {type(figure).__name__} cannot be logged as {artifact_file!r}.",
            expected="a Matplotlib figure as .png or .svg, or a Plotly figure as .html",
        )
    current().log_bytes(content, artifact_file)


def _below(folder: str | None, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise BadLogged(f"There is no file {str(path)!r}.", expected="the path of a file or folder")
