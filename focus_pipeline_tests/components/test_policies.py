"""Owners, freshness, tags and sources: one rule for all assets."""

import importlib
import sys
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components import names
from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.definitions import definitions_of, defs
from focus_pipeline_tests.components.conftest import NAME, Site

YAML = (
    "type: focus_pipeline.MonthFolders\nattributes:\n  name: acme\n  url: file:///bills\n"
    "  owners: ['team:finops', 'someone@example.com']\n  stale_after_hours: 30\n"
)


@pytest.fixture
def spec_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The specs of a project with one connection, by key."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "policy_defs" / "acme"
    folder.mkdir(parents=True)
    (tmp_path / "policy_defs" / "__init__.py").touch()

    def of(written: str) -> dict[dg.AssetKey, dg.AssetSpec]:
        (folder / "defs.yaml").write_text(written)
        importlib.invalidate_caches()
        tree = ConnectionTree(defs_module=importlib.import_module("policy_defs"), project_root=tmp_path)
        return {spec.key: spec for spec in definitions_of(tree).resolve_all_asset_specs()}

    yield of
    sys.modules.pop("policy_defs", None)


def test_the_assets_of_a_connection_have_its_owners_its_tag_and_its_freshness(spec_of) -> None:
    specs = spec_of(YAML)
    for key in (names.raw_files("acme"), names.cost_and_usage("acme"), names.latest_delivery("acme")):
        assert list(specs[key].owners) == ["team:finops", "someone@example.com"]
        assert specs[key].tags[names.CONNECTION_TAG] == "acme"
    policies = {key: spec.freshness_policy for key, spec in specs.items() if spec.freshness_policy}
    assert policies == {names.latest_delivery("acme"): dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=30))}


@pytest.mark.parametrize("owner", ["finops", "team:", "someone@", "a b@c.d e"])
def test_an_owner_that_dagster_would_not_take_stops_that_connection_alone(spec_of, owner: str) -> None:
    specs = spec_of(YAML.replace("team:finops", owner))
    (key,) = specs
    assert key == dg.AssetKey(["acme", "not_loaded"])
    assert "allowed is a list of email addresses, or of team:<name>" in specs[key].description


def test_every_asset_leads_to_the_file_that_defines_it() -> None:
    for spec in defs().resolve_all_asset_specs():
        references = spec.metadata["dagster/code_references"].code_references
        files = [Path(reference.file_path) for reference in references]
        assert all(file.exists() for file in files), spec.key
        if spec.key.path[0] == "marts":
            assert [file.name for file in files] == [f"{spec.key.path[1]}.sql"]


def test_a_backfill_of_an_old_month_does_not_make_a_connection_fresh(site: Site, recent: list[str]) -> None:
    def delivered() -> float | None:
        event = site.instance.get_latest_materialization_event(names.latest_delivery(NAME))
        return event.timestamp if event else None

    old = "2024-02"
    site.deliver(old)
    assert site.run(old).success
    assert delivered() is None
    site.deliver(recent[-1])
    assert site.run(recent[-1]).success
    first = delivered()
    assert first is not None
    assert site.run(recent[-1]).success
    assert delivered() == first, "nothing new was delivered"
    site.deliver(old, rows=2)
    assert site.run(old).success
    assert delivered() == first
    site.deliver(recent[-1], rows=2)
    assert site.run(recent[-1]).success
    assert delivered() > first
