"""What people write about models, and the search in it."""

from __future__ import annotations

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.references import Ref
from tidemill.core.search.errors import BadSearch
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.catalogue import Catalogue
from tidemill.registry.errors import (
    BadModelName,
    BadStage,
    BadTag,
    ModelExists,
    ModelNotFound,
    VersionNotFound,
    VersionNotPacked,
)
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.storage.db.engine import Database

ON_BOTH_DATABASES = True

ME = "user:ada"


@pytest.fixture
def registry(db: Database, journal: Journal, lineage: Lineage, clock: SimulatedClock) -> Registry:
    return Registry(db, journal, lineage, clock)


@pytest.fixture
def catalogue(db: Database, journal: Journal, lineage: Lineage, clock: SimulatedClock) -> Catalogue:
    return Catalogue(db, journal, lineage, clock)


def add(registry: Registry, model: str = "tides", run: str = "r1") -> ModelVersion:
    return registry.register_files(model, "models:/m-1", actor=ME, run_id=run, model_id="m-1")


class TestModels:
    def test_are_made_described_and_tagged(self, catalogue: Catalogue, journal: Journal) -> None:
        catalogue.create("my model", actor=ME, tags={"team": "sea"}, description="first")
        catalogue.describe("my model", "second", actor=ME)
        catalogue.set_tag("my model", "team", "land", actor=ME)
        catalogue.delete_tag("my model", "nothing", actor=ME)
        known = catalogue.model("my model")
        assert (known.description, known.tags, known.latest) == ("second", {"team": "land"}, None)
        kinds = [fact.type for fact in journal.read()]
        assert kinds == ["model.registered", "model.described", "model.tag-changed"]

    def test_have_a_name_of_their_own(self, catalogue: Catalogue) -> None:
        catalogue.create("tides", actor=ME)
        with pytest.raises(ModelExists, match="already exists"):
            catalogue.create("tides", actor=ME)
        with pytest.raises(BadModelName, match="cannot contain"):
            catalogue.create("a/b", actor=ME)
        with pytest.raises(BadTag, match="tag key"):
            catalogue.create("waves", actor=ME, tags={"": "x"})
        assert [m.name for m in catalogue.search_models().items] == ["tides"]

    def test_are_renamed_with_all_that_hangs_on_them(
        self, catalogue: Catalogue, registry: Registry, lineage: Lineage
    ) -> None:
        catalogue.create("tides", actor=ME, tags={"a": "b"})
        add(registry)
        registry.set_alias("tides", "champion", 1, actor=ME, reason="it is good")
        catalogue.set_tag("tides", "k", "v", actor=ME, version=1)
        catalogue.rename("tides", "waves", actor=ME)
        with pytest.raises(ModelNotFound):
            catalogue.model("tides")
        known = catalogue.model("waves")
        assert (known.aliases, known.tags) == ({"champion": 1}, {"a": "b"})
        assert registry.version(Ref("model", "waves", "champion")).tags == {"k": "v"}
        assert [change.alias for change in registry.history("waves")] == ["champion"]
        assert "model:tides@1" in {e.source for e in lineage.upstream(Ref("model", "waves", "1"))}

    def test_a_number_is_never_given_twice(self, catalogue: Catalogue, registry: Registry) -> None:
        """A reference in the journal or in lineage would else name another thing one day."""
        catalogue.create("tides", actor=ME)
        add(registry)
        add(registry)
        catalogue.delete_version("tides", 2, actor=ME)
        assert add(registry).version == 3
        catalogue.delete("tides", actor=ME)
        catalogue.create("tides", actor=ME)
        assert add(registry).version == 4


class TestVersions:
    def test_that_are_only_files_say_so(self, catalogue: Catalogue, registry: Registry) -> None:
        catalogue.create("tides", actor=ME)
        version = add(registry)
        with pytest.raises(VersionNotPacked, match="tidemill models pack"):
            assert version.packed
        packed = registry.pack(
            "tides", 1, bundle="b1", task="binary", flavor="sklearn", metrics={}, actor=ME
        )
        assert (packed.packed, packed.source, packed.run_id) == ("b1", "models:/m-1", "r1")

    def test_need_a_model(self, registry: Registry) -> None:
        with pytest.raises(ModelNotFound):
            add(registry)

    def test_pass_through_stages(self, catalogue: Catalogue, registry: Registry) -> None:
        catalogue.create("tides", actor=ME)
        for _ in range(3):
            add(registry)
        catalogue.set_stage("tides", 1, "PRODUCTION", actor=ME)
        catalogue.set_stage("tides", 2, "Production", actor=ME, archive_others=True)
        stages = {v.version: v.stage for v in catalogue.search_versions().items}
        assert stages == {1: "Archived", 2: "Production", 3: "None"}
        assert [v.version for v in catalogue.latest("tides")] == [3, 2, 1]
        assert [v.version for v in catalogue.latest("tides", ["production"])] == [2]
        with pytest.raises(BadStage, match="must be one of None, Staging"):
            catalogue.set_stage("tides", 1, "live", actor=ME)

    def test_are_deleted_with_their_aliases(self, catalogue: Catalogue, registry: Registry) -> None:
        catalogue.create("tides", actor=ME)
        add(registry)
        registry.set_alias("tides", "champion", 1, actor=ME, reason="it is good")
        catalogue.delete_version("tides", 1, actor=ME)
        assert catalogue.model("tides").aliases == {}
        with pytest.raises(VersionNotFound, match="version=1"):
            catalogue.version("tides", 1)


class TestSearch:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("", "abc"),
            ("name = 'b'", "b"),
            ("name LIKE 'A%'", ""),
            ("name ILIKE 'A%'", "a"),
            ("name IN ('a', 'c')", "ac"),
            ("tags.team = 'sea'", "ab"),
            ("tags.team = 'sea' AND NOT name = 'a'", "b"),
            ("tags.team IS NULL OR name = 'a'", "ac"),
            ("name RLIKE '^[ab]$'", "ab"),
            ("tag.`mlflow.prompt.is_prompt` != 'true'", "abc"),
            ("tag.`mlflow.prompt.is_prompt` = 'true'", ""),
        ],
    )
    def test_of_models(self, catalogue: Catalogue, text: str, found: str) -> None:
        catalogue.create("a", actor=ME, tags={"team": "sea"})
        catalogue.create("b", actor=ME, tags={"team": "sea", "x": "y"})
        catalogue.create("c", actor=ME)
        assert "".join(m.name for m in catalogue.search_models(text).items) == found

    def test_in_pages(self, catalogue: Catalogue) -> None:
        for name in "abcde":
            catalogue.create(name, actor=ME)
        first = catalogue.search_models(order_by=["name DESC"], limit=3)
        rest = catalogue.search_models(order_by=["name DESC"], limit=3, token=first.token)
        assert "".join(m.name for m in [*first.items, *rest.items]) == "edcba"
        assert rest.token is None

    def test_of_versions(
        self, catalogue: Catalogue, registry: Registry, clock: SimulatedClock
    ) -> None:
        for name in ("tides", "waves"):
            catalogue.create(name, actor=ME)
            clock.sleep(1)
            add(registry, name, run=f"run of {name}")
        add(registry, "tides", run="another")
        catalogue.set_tag("tides", "rt", "1", actor=ME, version=2)

        def found(text: str, *order: str) -> list[tuple[str, int]]:
            page = catalogue.search_versions(text, order_by=order)
            return [(v.model, v.version) for v in page.items]

        assert found("tags.rt = '1'") == [("tides", 2)]
        assert found("version_number > 1") == [("tides", 2)]
        assert found("run_id = 'run of waves'") == [("waves", 1)]
        in_order = found("name = 'tides'", "version_number ASC")
        assert in_order == [("tides", 1), ("tides", 2)]
        assert found("", "name ASC")[0] == ("tides", 2)

    @pytest.mark.parametrize("text", ["name RLIKE '('", "name RLIKE '(?=x)'", "metrics.a > 1"])
    def test_what_cannot_be_read_is_said(self, catalogue: Catalogue, text: str) -> None:
        with pytest.raises(BadSearch):
            catalogue.search_models(text)
