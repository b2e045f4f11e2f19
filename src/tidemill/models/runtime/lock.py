"""What a model needs to be installed, pinned to the versions that made it."""

from __future__ import annotations

import pickletools
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.metadata import packages_distributions as _packages
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from tidemill.core import digest
from tidemill.models.errors import BundleDamaged, CannotBeSaved

FILE = "environment.json"
ALWAYS = ("numpy", "polars")
"""What the runner itself needs to make a frame of a request's rows."""
_LIBRARIES = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "torch": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
}


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """An environment, as it can be built again.

    Attributes:
        python: The version of Python; its first two numbers count.
        requirements: As pip writes them, one a distribution.
        complete: Whether all that is needed is named. Where it is not, dependencies are looked
            for when the environment is built.
    """

    python: str
    requirements: tuple[str, ...]
    complete: bool = True

    @property
    def digest(self) -> str:
        """The digest that names it."""
        return digest.of_record(self)

    @property
    def minor(self) -> str:
        """The version of Python without its last number.

        Example:
            >>> Lock(python="3.11.9", requirements=()).minor
            '3.11'
        """
        return ".".join(self.python.split(".")[:2])


def read_lock(bundle: Path) -> Lock:
    """Read the lock of a bundle whose files have been checked.

    Raises:
        BundleDamaged: It has none, or it cannot be read.
    """
    try:
        return msgspec.json.decode((bundle / FILE).read_bytes(), type=Lock)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleDamaged(
            f"The bundle in {bundle} does not say what its model needs: {error}.",
            expected=f"a file {FILE}",
            hint="Train the model again.",
        ) from error


def write_lock(bundle: Path, lock: Lock) -> None:
    """Write the lock into a bundle that is being packed."""
    (bundle / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(lock), indent=1))


def lock_here(flavor: str, pickle: Path | None = None, *, also: Sequence[str] = ()) -> Lock:
    """Return what a model that was made in this process needs, in the versions installed here.

    Args:
        flavor: Its framework.
        pickle: The pickled original, where it is one: whatever module it names is needed.
        also: What else is needed. A name alone is pinned to what is installed here; anything
            that is not installed must say where it comes from or which version it is.
    """
    roots = [*ALWAYS, *_of_flavor(flavor)]
    if pickle is not None:
        roots += ["cloudpickle", *_named_in(pickle)]
    found = _closure([*roots, *also])
    pinned = {_pinned(d) for d in found.values()}
    foreign = {text for text in also if _normal(_requirement(text).name) not in found}
    return Lock(
        python=platform.python_version(),
        requirements=tuple(sorted(pinned | foreign)),
        complete=not foreign,
    )


def _of_flavor(flavor: str) -> list[str]:
    """Return the distributions that bring a flavor's framework, of those that are installed."""
    if flavor in _LIBRARIES:
        return [name for name in _LIBRARIES[flavor] if _find(name) is not None]
    if flavor == "python":
        return []
    # A plugin's flavor is asked through its own class, which comes with Tidemill.
    from importlib.metadata import entry_points

    brought = [e.dist.name for e in entry_points(group="tidemill.flavors", name=flavor) if e.dist]
    return ["tidemill", *brought]


def _named_in(pickle: Path) -> Iterator[str]:
    """Return the distributions whose modules a pickle names, in any of its strings.

    Functions that travel inside keep the names of what they import among their constants, so
    every string is looked at. One that only looks like a module costs a needless package.
    """
    known = _packages()
    words = {
        word.partition(".")[0]
        for _, argument, _ in pickletools.genops(pickle.read_bytes())
        if isinstance(argument, str)
        for word in argument.split()[:2]
    }
    for word in sorted(words & known.keys()):
        yield from known[word]


def _closure(roots: Iterable[str]) -> dict[str, Distribution]:
    """Return distributions with all that they depend on, by their normal name."""
    found: dict[str, Distribution] = {}
    waiting = [_requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        known = _find(wanted.name)
        name = _normal(wanted.name)
        if known is None or (name in found and not wanted.extras):
            continue
        found[name] = known
        for text in known.requires or ():
            needed = _requirement(text)
            extras = ("", *wanted.extras)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return found


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise CannotBeSaved(
            f"The requirement {text!r} cannot be read: {error}.".replace("\n", " "),
            expected="a package as pip writes it, such as 'lifelines==0.30.0'",
            hint="Mend `requirements` in [models.NAME.runtime] of tidemill.toml.",
        ) from error


def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pinned(found: Distribution) -> str:
    """Return a distribution with its version, or with the place that it was installed from."""
    name = _normal(found.name)
    origin = found.read_text("direct_url.json")
    place = msgspec.json.decode(origin).get("url", "") if origin else ""
    return f"{name} @ {place}" if place else f"{name}=={found.version}"
