"""The registry against a model of it that fits on a page: whatever is done, in any order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import TidemillError
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.catalogue import Catalogue
from tidemill.registry.errors import ModelExists, ModelNotFound, VersionNotFound
from tidemill.registry.service import Registry
from tidemill.storage.db.engine import Database

ON_BOTH_DATABASES = True
NAMES = st.sampled_from(["tides", "waves", "my model"])
NUMBERS = st.integers(1, 4)
TEXTS = st.sampled_from(["", "x", "y"])
ALIASES = st.sampled_from(["champion", "challenger"])
STAGES = st.sampled_from(["None", "Staging", "Production"])


class _Version:
    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.stage = "None"


class _Model:
    def __init__(self) -> None:
        self.versions: dict[int, _Version] = {}
        self.aliases: dict[str, int] = {}
        self.tags: dict[str, str] = {}


class RegistryMachine(RuleBasedStateMachine):
    """Every rule does the same to both, and both must say the same."""

    known: dict[str, _Model]
    highest: dict[str, int]
    ME: ClassVar[str] = "user:ada"

    def __init__(self, database: str) -> None:
        super().__init__()
        clock = SimulatedClock(datetime(2026, 1, 1, tzinfo=UTC))
        self._db = Database.open(database)
        journal, lineage = Journal(self._db, clock, Ids(clock)), Lineage(self._db, clock)
        self.registry = Registry(self._db, journal, lineage, clock)
        self.catalogue = Catalogue(self._db, journal, lineage, clock)
        self.known = {}
        self.highest = {}

    def teardown(self) -> None:
        self._db.close()

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        try:
            self.catalogue.create(name, actor=self.ME)
        except ModelExists:
            assert name in self.known
        else:
            assert name not in self.known
            self.known[name] = _Model()

    @rule(name=NAMES)
    def register(self, name: str) -> None:
        try:
            made = self.registry.register_files(name, "models:/m-1", actor=self.ME)
        except ModelNotFound:
            assert name not in self.known
        else:
            assert made.version == self.highest.get(name, 0) + 1
            self.highest[name] = made.version
            self.known[name].versions[made.version] = _Version()

    @rule(name=NAMES, version=NUMBERS, alias=ALIASES)
    def set_alias(self, name: str, version: int, alias: str) -> None:
        try:
            self.registry.set_alias(name, alias, version, actor=self.ME, reason="so")
        except (ModelNotFound, VersionNotFound):
            assert not self._there(name, version)
        else:
            self.known[name].aliases[alias] = version

    @rule(name=NAMES, version=NUMBERS, stage=STAGES, archive=st.booleans())
    def move(self, name: str, version: int, stage: str, archive: bool) -> None:
        try:
            self.catalogue.set_stage(name, version, stage, actor=self.ME, archive_others=archive)
        except (ModelNotFound, VersionNotFound):
            assert not self._there(name, version)
            return
        for number, other in self.known[name].versions.items():
            if archive and number != version and other.stage == stage:
                other.stage = "Archived"
        self.known[name].versions[version].stage = stage

    @rule(name=NAMES, version=st.none() | NUMBERS, key=st.sampled_from("ab"), value=TEXTS)
    def tag(self, name: str, version: int | None, key: str, value: str) -> None:
        try:
            self.catalogue.set_tag(name, key, value, actor=self.ME, version=version)
        except (ModelNotFound, VersionNotFound):
            assert not self._there(name, version)
            return
        model = self.known[name]
        (model.tags if version is None else model.versions[version].tags)[key] = value

    @rule(name=NAMES, version=NUMBERS)
    def delete_version(self, name: str, version: int) -> None:
        try:
            self.catalogue.delete_version(name, version, actor=self.ME)
        except (ModelNotFound, VersionNotFound):
            assert not self._there(name, version)
            return
        model = self.known[name]
        del model.versions[version]
        model.aliases = {a: v for a, v in model.aliases.items() if v != version}

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        try:
            self.catalogue.delete(name, actor=self.ME)
        except ModelNotFound:
            assert name not in self.known
        else:
            del self.known[name]

    @rule(old=NAMES, new=NAMES)
    @precondition(lambda self: bool(self.known))
    def rename(self, old: str, new: str) -> None:
        try:
            self.catalogue.rename(old, new, actor=self.ME)
        except TidemillError:
            assert old not in self.known or (new in self.known and new != old)
            return
        if old != new:
            self.known[new] = self.known.pop(old)
            self.highest[new] = max(self.highest.get(old, 0), self.highest.get(new, 0))

    @invariant()
    def both_say_the_same(self) -> None:
        found = self.catalogue.search_models().items
        assert {m.name: (m.aliases, m.tags) for m in found} == {
            name: (model.aliases, model.tags) for name, model in self.known.items()
        }
        versions = self.catalogue.search_versions().items
        assert {(v.model, v.version): (v.stage, v.tags) for v in versions} == {
            (name, number): (version.stage, version.tags)
            for name, model in self.known.items()
            for number, version in model.versions.items()
        }
        for version in versions:
            named = {
                a for a, n in self.known[version.model].aliases.items() if n == version.version
            }
            assert set(version.aliases) == named

    def _there(self, name: str, version: int | None) -> bool:
        if name not in self.known:
            return False
        return version is None or version in self.known[name].versions


def test_whatever_is_done(fresh: Callable[[], str]) -> None:
    run_state_machine_as_test(
        lambda: RegistryMachine(fresh()), settings=settings(max_examples=15, stateful_step_count=25)
    )
