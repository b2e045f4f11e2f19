"""Models, versions, aliases, and what was live when."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import Conflict, NotFound, Usage
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.errors import (
    BadAlias,
    BadModelName,
    ModelNotFound,
    VersionNotFound,
    VersionRejected,
)
from tidemill.registry.events import AliasSet, VersionRegistered
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.storage.db.engine import Database

ON_BOTH_DATABASES = True

DATA = Ref("dataset", "flights", "3f9a")


@pytest.fixture
def registry(db: Database, journal: Journal, lineage: Lineage, clock: SimulatedClock) -> Registry:
    return Registry(db, journal, lineage, clock)


def register(
    registry: Registry, run: str = "r1", *, model: str = "delay", auc: float = 0.7
) -> ModelVersion:
    return registry.register(
        model,
        bundle=f"bundle of {run}",
        run_id=run,
        dataset=DATA,
        task="binary",
        flavor="sklearn",
        metrics={"roc_auc": auc},
        actor="user:ada",
    )


class TestRegistering:
    def test_counts_versions_from_one(self, registry: Registry) -> None:
        assert [register(registry, run).version for run in ("a", "b")] == [1, 2]
        assert register(registry, "c", model="other").version == 1
        assert [v.version for v in registry.versions("delay")] == [2, 1]
        assert [m.name for m in registry.models()] == ["delay", "other"]
        assert registry.model("delay").latest == 2

    def test_the_same_bundle_of_a_run_is_registered_once(
        self, registry: Registry, journal: Journal
    ) -> None:
        assert register(registry) == register(registry)
        assert journal.head() == 1

    def test_is_written_into_journal_and_lineage(
        self, registry: Registry, journal: Journal, lineage: Lineage
    ) -> None:
        version = register(registry)
        (fact,) = journal.read(types=["version.registered"])
        assert fact.subject == "model:delay@1"
        assert fact.read(VersionRegistered).metrics == {"roc_auc": 0.7}
        sources = [e.source for e in lineage.upstream(version.ref)]
        assert sources == ["run:r1", "dataset:flights@3f9a"]

    def test_a_metric_that_could_not_be_computed_stays_one(
        self, registry: Registry, journal: Journal
    ) -> None:
        """JSON has no NaN: it once made the version unreadable."""
        register(registry, auc=math.nan)
        assert math.isnan(registry.versions("delay")[0].metrics["roc_auc"])
        assert journal.read()[0].read(VersionRegistered).metrics == {"roc_auc": None}

    @pytest.mark.parametrize("name", ["", "a/b", "a:b", "a\nb", "x" * 300, " a", "a ", ".."])
    def test_refuses_a_name_that_no_reference_can_carry(
        self, registry: Registry, name: str
    ) -> None:
        with pytest.raises(BadModelName):
            register(registry, model=name)
        assert registry.models() == []

    def test_refuses_a_name_with_a_version(self, registry: Registry) -> None:
        with pytest.raises(BadModelName, match="cannot contain '@'"):
            register(registry, model="delay@3")


class TestFinding:
    def test_by_number_alias_or_newest(self, registry: Registry) -> None:
        register(registry, "a")
        register(registry, "b")
        registry.set_alias("delay", "champion", 1, actor="loop", reason="first")
        found = [registry.version(Ref.parse(f"model:delay{t}")) for t in ("@1", "@champion", "")]
        assert [v.version for v in found] == [1, 1, 2]
        assert found[0].aliases == ("champion",)

    def test_says_what_there_is_instead(self, registry: Registry) -> None:
        with pytest.raises(ModelNotFound, match="there is none yet"):
            registry.model("delay")
        register(registry)
        with pytest.raises(ModelNotFound, match="'delay'") as caught:
            registry.version(Ref("model", "dealy"))
        assert isinstance(caught.value, NotFound)
        registry.set_alias("delay", "champion", 1, actor="loop", reason="first")
        for version in ("2", "champoin", "0", "99999999999999999999"):
            with pytest.raises(VersionNotFound, match=r"1 to 1, or an alias: .*'champion'"):
                registry.version(Ref("model", "delay", version))


class TestAliases:
    def test_what_was_live_when(
        self, registry: Registry, clock: SimulatedClock, journal: Journal
    ) -> None:
        before = clock.now()
        clock.sleep(3600)
        register(registry, "a")
        register(registry, "b")
        for version in (1, 2):
            registry.set_alias(
                "delay", "champion", version, actor="loop", reason=f"reason {version}"
            )
            clock.sleep(3600)
        registry.remove_alias("delay", "champion", actor="user:ada", reason="broken")
        hour = timedelta(hours=1)

        def live(hours: float) -> int | None:
            found = registry.live_at("delay", before + hours * hour)
            return None if found is None else found.version

        assert [live(h) for h in (0, 0.99, 1, 1.99, 2, 2.99, 3, 9)] == [
            *(None, None, 1, 1, 2, 2, None, None)
        ]
        changes = registry.history("delay")
        assert [(c.version, c.previous) for c in changes] == [(None, 2), (2, 1), (1, None)]
        assert [c.reason for c in changes] == ["broken", "reason 2", "reason 1"]
        assert journal.get(changes[0].id).read(AliasSet).version is None

    def test_naming_the_same_again_changes_nothing(
        self, registry: Registry, journal: Journal
    ) -> None:
        register(registry)
        for _ in range(2):
            registry.set_alias("delay", "champion", 1, actor="loop", reason="again")
        assert len(registry.history("delay")) == 1
        assert journal.head() == 2
        registry.remove_alias("delay", "none", actor="loop", reason="never there")
        assert journal.head() == 2

    @pytest.mark.parametrize("alias", ["", "7", "a b", "latest", "V2", "@x", "a/b", "é" * 300])
    def test_refuses_what_reads_as_something_else(self, registry: Registry, alias: str) -> None:
        register(registry)
        with pytest.raises(BadAlias) as caught:
            registry.set_alias("delay", alias, 1, actor="loop", reason="")
        assert isinstance(caught.value, Usage)

    def test_refuses_a_version_that_is_not_there(self, registry: Registry) -> None:
        register(registry)
        with pytest.raises(VersionNotFound):
            registry.set_alias("delay", "champion", 2, actor="loop", reason="")
        with pytest.raises(ModelNotFound):
            registry.remove_alias("dealy", "champion", actor="loop", reason="")


class TestApproval:
    def test_a_rejected_version_gets_no_alias_until_it_is_approved(
        self, registry: Registry, journal: Journal
    ) -> None:
        register(registry)
        registry.reject("delay", 1, reason="biased", actor="user:ada")
        with pytest.raises(VersionRejected, match="Approve it first") as caught:
            registry.set_alias("delay", "champion", 1, actor="loop", reason="")
        assert isinstance(caught.value, Conflict)
        assert registry.approve("delay", 1, reason="looked", actor="user:ada").status == "ready"
        registry.set_alias("delay", "champion", 1, actor="loop", reason="")
        statuses = [f.fields()["status"] for f in journal.read(types=["version.status-changed"])]
        assert statuses == ["rejected", "ready"]

    def test_the_same_verdict_twice_is_one_fact(self, registry: Registry, journal: Journal) -> None:
        register(registry)
        for _ in range(2):
            registry.reject("delay", 1, reason="biased", actor="user:ada")
        assert journal.head() == 2
        with pytest.raises(VersionNotFound):
            registry.reject("delay", 9, reason="", actor="user:ada")
