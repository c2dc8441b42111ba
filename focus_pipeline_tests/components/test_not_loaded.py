"""A connection or a mart whose defs.yaml cannot be used stops itself alone, and one line says where and why."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components.connection import ConnectionComponent, connections
from focus_pipeline.components.connection_tree import ConnectionTree, NotLoadedError
from focus_pipeline.components.exchange_rates import converted_to
from focus_pipeline.components.mart import marts
from focus_pipeline.definitions import definitions_of

GOOD = "type: focus_pipeline.MonthFolders\nattributes:\n  name: good\n  url: s3://bucket/good/\n"
HEAD = "type: focus_pipeline.MonthFolders\nattributes:\n  name: bad\n"

Loaded = Callable[..., ConnectionTree]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """A project whose defs/ has a connection that loads, and what is given: folder -> text of its defs.yaml."""

    def of(**folders: str) -> ConnectionTree:
        for folder, text in {"good": GOOD, **folders}.items():
            (tmp_path / "some_defs" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "some_defs" / folder / "defs.yaml").write_text(text)
        (tmp_path / "some_defs" / "__init__.py").touch()
        (tmp_path / "some_defs" / "unified.py").write_text("from focus_pipeline.defs.focus.unified import unified\n")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return ConnectionTree(defs_module=importlib.import_module("some_defs"), project_root=tmp_path)

    yield of
    sys.modules.pop("some_defs", None)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            HEAD + "  url: s3://b/\n  lookback: 3\n",
            "5: there is no attribute `lookback`; the nearest is `lookback_months`",
        ),
        (HEAD + "  adress: s3://b/\n", "2: the attribute `url` is missing"),
        (HEAD + "  url: s3://b/\n  zzzz: 1\n", "5: there is no attribute `zzzz`; there are auth, check_every_seconds"),
        (HEAD + "  url: http://127.0.0.1/b/\n", "4: `url`: a url of the kind http:// is not known; use s3://"),
        (HEAD + "  url: ftp://b/\n", "4: `url`: a url of the kind ftp:// is not known; use s3://"),
        (HEAD + "  url: 5\n", "4: `url` is 5; allowed is a text"),
        (
            HEAD + "  url: s3://b/\n  lookback_months: -1\n",
            "5: `lookback_months` is -1; allowed is a whole number from 0",
        ),
        (HEAD + "  url: s3://b/\n  lookback_months: two\n", "5: `lookback_months` is 'two'; allowed is a whole number"),
        (
            HEAD + "  url: s3://b/\n  check_every_seconds: 0\n",
            "5: `check_every_seconds` is 0; allowed is a whole number",
        ),
        (HEAD + "  url: s3://b/\n  month_rule: maybe\n", "5: `month_rule` is 'maybe'; allowed is true or false"),
        (HEAD + "  url: s3://b/\n  precedence: '*'\n", "5: `precedence` is '*'; allowed is a list of texts"),
        (
            HEAD + "  url: s3://b/\n  auth: {acess_key_id: a}\n",
            "5: there is no attribute `auth.acess_key_id`; the nearest",
        ),
        (HEAD + "  url: s3://b/\n  auth: {access_key_id: a}\n", "5: `auth`: access_key_id and secret_access_key go"),
        (HEAD + "  url: gs://b/\n  auth: {profile: a}\n", "5: `auth`: the auth does not fit the url"),
        (
            HEAD + "  url: s3://b/\n  auth: a-key\n",
            "5: `auth` has to hold attributes of its own, such as access_key_id",
        ),
        (
            HEAD + "  url: s3://b/\n  auth:\n    role_arn: '{{ env.TORN }}'\n",
            "6: `auth.role_arn`: it holds a line break",
        ),
        (
            HEAD + "  url: '{{ data_dri }}/x'\n",
            "4: `url`: `{{ data_dri }}` is not known; there are {{ env.NAME }} and {{ data_dir }}",
        ),
        (
            HEAD.replace("bad", "Bad-One") + "  url: s3://b/\n",
            "3: `name` is 'Bad-One'; allowed are small letters, digits",
        ),
        (HEAD.replace("bad", "focus") + "  url: s3://b/\n", "3: `name`: a connection cannot be named 'focus'"),
        (HEAD + "  url: s3://b/\n bad: [\n", "5: this is not YAML"),
        (
            "type: focus_pipeline.MonthFolder\n",
            "1: there is no type `focus_pipeline.MonthFolder`; the nearest is `focus_",
        ),
        ("type: MonthFolders\n", "1: there is no type `MonthFolders`; the nearest is `focus_pipeline.MonthFolders`"),
        (
            "type: focus_pipeline.MonthFolders\natributes: {}\n",
            "2: there is no `atributes`; the nearest is `attributes`",
        ),
        ("attributes: {}\n", "1: `type` is missing, such as focus_pipeline.MonthFolders"),
        ("type: focus_pipeline.MonthFolders\nattributes: []\n", "2: `attributes` has to hold attributes"),
        (
            "type: focus_pipeline.GcpBigQueryExport\nattributes: {name: bad, project: p, dataset: ''}\n",
            "2: the attribute",
        ),
        ("", "1: the file is empty"),
        ("- a\n- b\n", "1: a connection has a `type` and `attributes`"),
        (
            HEAD.replace("bad", "'{{ env.TORN }}'") + "  url: s3://b/\n",
            "3: `name` is '{{ env.TORN }}'; allowed are small",
        ),
        (HEAD.replace("bad", "2024") + "  url: s3://b/\n", "3: `name` is 2024; allowed are small letters, digits"),
        (HEAD + "  url:\n", "4: `url` is empty; allowed is a text"),
        (HEAD + "  url: 's3://{{ data_dir '\n", "4: `url`: unexpected end of template"),
        (HEAD + "  url: s3://b/\npost_processing: {assets: 3}\n", "5: `post_processing.assets`: "),
        (
            "type: focus_pipeline.AzureCostExport\nattributes:\n  name: bad\n  url: az://c/d/\n",
            "4: `url`: an az:// url names the container only; auth.account_name is missing",
        ),
        (
            "type: focus_pipeline.AzureCostExport\nattributes:\n  name: bad\n"
            "  url: https://a.blob.core.windows.net/c/\n  auth: {sas_token: '{{ env.TORN }}'}\n",
            "5: `auth.sas_token`: it holds a line break",
        ),
        (
            "type: focus_pipeline.AwsDataExport\nattributes:\n  name: bad\n  url: s3://b/\n  endpoint_url: b:9000\n",
            "5: `endpoint_url`: the endpoint_url has to be http://",
        ),
        (
            "type: focus_pipeline.OciReports\nattributes:\n  name: bad\n  url: oci://n@b/\n  auth: {profil: A}\n",
            "5: there is no attribute `auth.profil`; the nearest is `auth.profile`",
        ),
        (
            "type: focus_pipeline.GcpBigQueryExport\nattributes:\n  name: bad\n  project: p\n  dataset: d\n  table: t\n"
            "  maximum_bytes_billed: 1GB\n",
            "7: `maximum_bytes_billed` is '1GB'; allowed is a whole number from 1 on",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place_and_the_others_load(
    tree: Loaded, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    monkeypatch.setenv("TORN", "arn:aws:iam::1:role/x\nsecret-half")
    tree = tree(bad=written)
    sentences = [sentence for bad in tree.not_loaded() for sentence in bad.sentences]
    assert any(f"bad/defs.yaml:{said}" in sentence for sentence in sentences), sentences
    for sentence in sentences:
        assert "\n" not in sentence
        assert "secret-half" not in sentence
        assert not any(
            word in sentence.lower() for word in ("pydantic", "validation error", "constraint", "input should")
        )
    assert list(connections(tree)) == ["good"]
    definitions = definitions_of(tree)
    dg.Definitions.validate_loadable(definitions)
    assert definitions.resolve_job_def("good_ingest")
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["bad", "not_loaded"]))
    assert sentences[0] in node.description


def test_every_fault_of_a_file_is_told(tree: Loaded) -> None:
    (bad,) = tree(bad=HEAD + "  lookback: 1\n  month_rule: x\n").not_loaded()
    assert len(bad.sentences) == 3


def test_of_several_connections_in_one_file_only_the_bad_one_is_left_out(tree: Loaded) -> None:
    one = GOOD.replace("good", "third")
    loaded = tree(several=f"{one}---\n{HEAD}  url: http://b/\n")
    assert list(connections(loaded)) == ["good", "third"]
    assert loaded.not_loaded()[0].sentences[0].startswith("some_defs/several/defs.yaml:9: `url`")


def test_below_a_folder_with_settings_of_dagster_the_bad_one_is_left_out_alone(tree: Loaded) -> None:
    loaded = tree(
        group="type: dagster.DefsFolderComponent\n",
        **{"group/bad": HEAD + "  url: http://b/\n", "group/third": GOOD.replace("good", "third")},
    )
    assert list(connections(loaded)) == ["good", "third"]
    assert loaded.not_loaded()[0].sentences[0].startswith("some_defs/group/bad/defs.yaml:4: `url`")
    dg.Definitions.validate_loadable(definitions_of(loaded))


def test_two_connections_of_one_name_stop_each_other_and_nobody_else(tree: Loaded) -> None:
    loaded = tree(one=HEAD + "  url: s3://b/\n", two=HEAD + "  url: s3://c/\n")
    assert list(connections(loaded)) == ["good"]
    sentences = [bad.sentences[0] for bad in loaded.not_loaded()]
    assert sentences[0].startswith("some_defs/one/defs.yaml:3: `name`: some_defs/two/defs.yaml has the name 'bad', too")
    assert sentences[1].startswith("some_defs/two/defs.yaml:3: `name`: some_defs/one/defs.yaml has the name 'bad', too")
    dg.Definitions.validate_loadable(definitions_of(loaded))


def test_dg_check_defs_fails_for_it(tree: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
    with pytest.raises(NotLoadedError, match=r"bad/defs.yaml:4: `url`: a url of the kind http://"):
        definitions_of(tree(bad=HEAD + "  url: http://b/\n"))


def test_its_sensor_fails_its_check_and_then_every_look_so_that_the_ui_shows_it(tree: Loaded) -> None:
    definitions = definitions_of(tree(bad=HEAD + "  url: http://b/\n"))
    sensor = definitions.get_sensor_def("bad_not_loaded")
    with dg.DagsterInstance.ephemeral() as instance:
        first = sensor(dg.build_sensor_context(instance=instance))
        (event,) = first.asset_events
        assert (event.passed, event.asset_key) == (False, dg.AssetKey(["bad", "not_loaded"]))
        assert "a url of the kind http:// is not known" in event.description
        with pytest.raises(NotLoadedError, match="a url of the kind http:// is not known"):
            sensor(dg.build_sensor_context(instance=instance, cursor=first.cursor))


def test_a_start_month_that_is_none_is_blamed_on_no_connection(tree: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUS_START_MONTH", "2024-13")
    with pytest.raises(ValueError, match=r"^FOCUS_START_MONTH is '2024-13'; set it to a month such as 2024-01"):
        definitions_of(tree())


def test_the_unified_asset_waits_for_no_connection_that_is_not_loaded(tree: Loaded) -> None:
    loaded = tree(bad=HEAD + "  url: http://b/\n")
    assert [c.name for c in loaded.get_all_components(of_type=ConnectionComponent)] == ["good"]


# Marts

MART = "type: focus_pipeline.Mart\nattributes:\n  name: bad\n  sql: bad.sql\n  description: Billed costs.\n"
SQL = "SELECT x_Month AS Month FROM focus.cost_and_usage WHERE x_Month = $month"


@pytest.mark.parametrize(
    ("written", "sql", "said"),
    [
        (MART + "  grain: [Month]\n", None, "4: `sql`: there is no file bad.sql beside the defs.yaml"),
        (MART + "  grain: [Month]\n", "SELEC 1", "the SQL of the mart bad cannot be read: Parser Error: syntax error"),
        (MART + "  grain: [Month]\n", "SELECT 1 AS Month", "the SQL of the mart bad has no $month: select the rows of"),
        (MART + "  grain: []\n", SQL, "6: `grain`"),
        (MART, SQL, "2: the attribute `grain` is missing"),
        (MART + "  grain: [Month]\n  cover: true\n", SQL, "7: there is no attribute `cover`; the nearest is `covers`"),
        (MART + "  grain: [Month]\n  months_back: -1\n", SQL, "7: `months_back` is -1; allowed is a whole number"),
        (MART.replace("name: bad", "name: Bad") + "  grain: [Month]\n", SQL, "3: `name` is 'Bad'"),
    ],
)
def test_a_mart_that_cannot_be_used_stops_itself_alone(
    tree: Loaded, tmp_path: Path, written: str, sql: str | None, said: str
) -> None:
    (tmp_path / "some_defs" / "bad").mkdir(parents=True)
    if sql is not None:
        (tmp_path / "some_defs" / "bad" / "bad.sql").write_text(sql)
    (tmp_path / "some_defs" / "fine").mkdir()
    (tmp_path / "some_defs" / "fine" / "fine.sql").write_text(SQL)
    loaded = tree(bad=written, fine=MART.replace("bad", "fine") + "  grain: [Month]\n")
    faults = {bad.name: bad for bad in loaded.not_loaded()}
    (bad,) = [fault for name, fault in faults.items() if name.lower() == "bad"]
    assert bad.what == "mart"
    assert said in bad.sentences[0]
    assert bad.sentences[0].startswith("some_defs/bad/defs.yaml:")
    assert [mart.name for mart in marts(loaded)] == ["fine"]
    definitions = definitions_of(loaded)
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["bad", "not_loaded"]))
    assert node.description.startswith(f"The mart {bad.name} is not loaded.")


def test_two_marts_of_one_name_stop_each_other_and_nobody_else(tree: Loaded, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / "some_defs" / folder).mkdir(parents=True)
        (tmp_path / "some_defs" / folder / "bad.sql").write_text(SQL)
    loaded = tree(one=MART + "  grain: [Month]\n", two=MART + "  grain: [Month]\n")
    assert list(connections(loaded)) == ["good"]
    assert marts(loaded) == []
    said = loaded.not_loaded()[0].sentences[0]
    assert "some_defs/two/defs.yaml has the name 'bad', too: two marts are named 'bad'" in said


RATES = "type: focus_pipeline.ExchangeRates\nattributes:\n  url: file:///rates/rates.csv\n  convert_to: EUR\n"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            RATES.replace("/rates.csv", "/"),
            "3: `url`: the url has to be that of the file",
        ),
        (RATES + "  auth: {profile: a}\n", "5: `auth`: the auth does not fit the url"),
        (RATES + "  name: rates\n", "5: there is no attribute `name`"),
    ],
)
def test_rates_that_cannot_be_used_leave_marts_what_they_are(tree: Loaded, written: str, said: str) -> None:
    loaded = tree(rates=written)
    (bad,) = loaded.not_loaded()
    assert said in bad.sentences[0]
    assert (bad.what, bad.name) == ("file of exchange rates", "rates")
    assert converted_to(loaded) == "EUR"
    assert list(connections(loaded)) == ["good"]
    definitions = definitions_of(loaded)
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["rates", "not_loaded"]))
    assert node.description.startswith("The file of exchange rates rates is not loaded.")


def test_a_currency_that_is_none_is_told(tree: Loaded) -> None:
    (bad,) = tree(rates=RATES.replace("EUR", "euro")).not_loaded()
    assert "4: `convert_to` is 'euro'; allowed is three capital letters, such as USD" in bad.sentences[0]


def test_a_project_has_one_file_of_rates(tree: Loaded) -> None:
    assert converted_to(tree()) is None
    assert converted_to(tree(one=RATES)) == "EUR"
    loaded = tree(one=RATES, two=RATES)
    assert [bad.what for bad in loaded.not_loaded()] == ["file of exchange rates"] * 2
    said = loaded.not_loaded()[0].sentences[0]
    assert "some_defs/two/defs.yaml is a file of exchange rates, too, and a project has one; remove one" in said


def test_a_text_of_a_marts_parameters_is_taken_as_it_is_written(tree: Loaded, tmp_path: Path) -> None:
    """As a template, the JSON of a budget would become a mapping, and the mart would not load."""
    (tmp_path / "some_defs" / "budgets").mkdir(parents=True)
    (tmp_path / "some_defs" / "budgets" / "bad.sql").write_text("SELECT $month AS Month, $budgets AS Budgets")
    budget = '{"name": "AWS", "amount": 1}'
    loaded = tree(budgets=MART + f"  grain: [Month]\n  parameters:\n    budgets: ['{budget}']\n")
    assert [mart.parameters for mart in marts(loaded)] == [{"budgets": [budget]}]


ALERTS = "type: focus_pipeline.Alerts\nattributes:\n  channels: {finops: 'json://{{ env.HOOK }}/'}\n"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (ALERTS + "  digest: 3\n", "4: there is no attribute `digest`; "),
        (ALERTS + "  digest_above: 0\n", "4: `digest_above` is 0; allowed is a whole number from 1 on"),
        (ALERTS + "  warnings: budget\n", "4: `warnings` is 'budget'; allowed is a list of texts"),
        (ALERTS.replace("{finops: ", "[").replace("}\n", "]\n"), "3: `channels` has to hold names, each with a URL"),
        (ALERTS.replace("finops", "Fin ops"), "3: `channels`: a channel is named 'Fin ops'; allowed are small letters"),
        (ALERTS.replace("'json://{{ env.HOOK }}/'", "hooks"), "3: `channels`: the channel finops is no URL"),
        (ALERTS.split("attributes")[0] + "attributes: {}\n", "the attribute `channels` is missing"),
    ],
)
def test_alerts_that_cannot_be_used_stop_nothing_else(
    tree: Loaded, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    monkeypatch.setenv("HOOK", "secret-half")
    loaded = tree(alerts=written)
    (bad,) = loaded.not_loaded()
    assert said in bad.sentences[0]
    assert "secret-half" not in bad.sentences[0]
    assert bad.what == "set of alerts"
    assert list(connections(loaded)) == ["good"]
    definitions = definitions_of(loaded)
    dg.Definitions.validate_loadable(definitions)
    assert "focus_alerts" not in [sensor.name for sensor in definitions.sensors]


def test_a_project_has_one_set_of_alerts_and_runs_without(tree: Loaded) -> None:
    assert "focus_alerts" in [sensor.name for sensor in definitions_of(tree(alerts=ALERTS)).sensors]
    loaded = tree(alerts=ALERTS, more=ALERTS)
    assert (
        "some_defs/more/defs.yaml is a set of alerts, too, and a project has one" in loaded.not_loaded()[0].sentences[0]
    )
