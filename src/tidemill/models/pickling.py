"""Pickled originals: written where nothing else can hold them, read only by policy."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tidemill.models.errors import BundleDamaged, CannotBeSaved, NotTrusted
from tidemill.models.protocol import Saved, Trust

FILE = "model.pickle"
_INSTALLED = {"site-packages", "dist-packages"}


def pickled(model: object, folder: Path, trust: Trust) -> Saved:
    """Write a model with cloudpickle; the user's own modules travel inside.

    Raises:
        CannotBeSaved: It cannot be pickled, or the policy wants no pickles.
    """
    import cloudpickle

    if trust == "never":
        raise CannotBeSaved(
            f"The model, a {type(model).__name__}, could only be saved as a pickle.",
            expected='a model whose parts are all known, where the policy says trust = "never"',
        )
    try:
        with _by_value(cloudpickle):
            content = cloudpickle.dumps(model)
    except Exception as error:  # pickling calls the user's code
        raise CannotBeSaved(
            f"The model, a {type(model).__name__}, cannot be saved: {error}",
            expected="a fitted estimator that can be pickled",
            hint="Open files, locks and database connections cannot travel; remove them.",
        ) from error
    (folder / FILE).write_bytes(_repeatable(content, cloudpickle))
    return Saved(FILE, "pickle")


def unpickled(path: Path, trust: Trust) -> Any:
    """Load a pickled model, where the policy trusts it.

    With `own` the caller vouches for the bundle: this installation made it, or its signature was
    verified.

    Raises:
        NotTrusted: The policy forbids it.
        BundleDamaged: It cannot be read.
    """
    if trust != "own":
        raise NotTrusted(
            f"{path.name} is a pickle, and loading it would run its author's code.",
            expected='trust = "own" in the policy, or a signature where it says "signed"',
            hint="The ONNX twin, where there is one, needs no trust.",
        )
    import cloudpickle

    try:
        return cloudpickle.loads(path.read_bytes())
    except Exception as error:  # unpickling calls the author's code
        raise BundleDamaged(
            f"{path.name} cannot be read: {type(error).__name__}: {error}",
            hint="Install the libraries that the manifest names, in those versions.",
        ) from error


def _repeatable(content: bytes, cloudpickle: Any) -> bytes:
    """Return a pickle that is the same for the same model.

    cloudpickle marks each class that travels inside with a random number, by which a process that
    loads several pickles knows it again. A number made of what is in the pickle does as well.
    """
    trackers = getattr(cloudpickle.cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_CLASS", {})
    marks = sorted(
        (m.encode() for m in set(trackers.values()) if m.encode() in content), key=content.find
    )
    plain = content
    for mark in marks:
        plain = plain.replace(mark, b"0" * len(mark))
    for number, mark in enumerate(marks):
        made = hashlib.sha256(b"%d %b" % (number, plain)).hexdigest()[: len(mark)]
        content = content.replace(mark, made.encode())
    return content


@contextmanager
def _by_value(cloudpickle: Any) -> Iterator[None]:
    """Let functions and classes of the user's modules travel inside the pickle."""
    installed = tuple(place + os.sep for place in sysconfig.get_paths().values())
    modules = [m for m in list(sys.modules.values()) if _is_users(m, installed)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(module: ModuleType, installed: tuple[str, ...]) -> bool:
    """Whether a module lies outside of Python, its installed packages and this one."""
    file = getattr(module, "__file__", None)
    if not file or module.__name__ == "__main__" or module.__name__.partition(".")[0] == "tidemill":
        return False
    # Packages of an environment below this one are installed too.
    return not file.startswith(installed) and not _INSTALLED & set(Path(file).parts)
