"""The assets and checks of a connection in a real Dagster instance."""

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from focus_pipeline.components import metadata, names
from focus_pipeline.connections.delivery import Delivery
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.pipeline.month_checks import CHECKS as OF_MONTHS
from focus_pipeline.pipeline.plan import delivery_of
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.records.landed import current_delivery
from focus_pipeline.warehouse.faults import WarehouseLocked
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.components.conftest import NAME, Site
from focus_pipeline_tests.warehouses import file_of, url_of


@pytest.fixture(params=["duckdb", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite", "postgres"))])
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test is one of every warehouse."""
    return url_of(request, tmp_path / "data")


def only_of_a_file(site: Site) -> None:
    if site.data_dir.warehouse:
        pytest.skip("there is no such file")


def test_files_dropped_are_in_the_table_and_a_replaced_file_restates_its_month(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month, "expenses.csv", cost="1.10", rows=3)
    site.deliver(month, "additional.csv", cost="0.05", rows=2)
    (run,) = site.tick_and_load()
    assert run.success
    assert site.billed(month) == Decimal("3.40")
    evaluated = {e.check_name: (e.passed, e.partition) for e in site.evaluations(run)}
    assert evaluated == dict.fromkeys(CHECKS, (True, month))
    (published,) = site.published
    evaluated = {e.check_name: (e.passed, e.partition) for e in site.evaluations(published)}
    assert evaluated == dict.fromkeys(("delivered_once", "defined", *OF_MONTHS), (True, month))

    site.deliver(month, "additional.csv", cost="-1", rows=1)
    site.tick_and_load()
    assert site.billed(month) == Decimal("2.30")
    (published,) = site.published
    replaced = site.metadata(published, names.UNIFIED)["Replaced now"].records[0].data
    assert (replaced["rows before"], replaced["rows after"]) == (5, 4)
    assert replaced["BilledCost before"].startswith("3.40")
    assert replaced["BilledCost after"].startswith("2.30")


def test_a_month_can_be_judged_from_its_metadata(site: Site, recent: list[str]) -> None:
    site.deliver(recent[-1], rows=2)
    site.deliver(recent[-1], "in-euro.csv", cost="7", BillingCurrency="EUR")
    run = site.run(recent[-1])
    raw = site.metadata(run, names.raw_files(NAME))
    assert (raw["Files"].value, raw["Downloaded files"].value) == (2, 2)
    staged = site.metadata(run, names.cost_and_usage(NAME))
    assert staged["dagster/partition_row_count"].value == 3
    assert (staged["BilledCost (USD)"].value, staged["BilledCost (EUR)"].value) == (2.5, 7.0)
    totals = {record.data["currency"]: record.data["BilledCost"] for record in staged["Totals"].records}
    assert {currency: Decimal(cost) for currency, cost in totals.items()} == {"USD": Decimal("2.5"), "EUR": Decimal(7)}
    assert [record.data["ServiceName"] for record in staged["Preview"].records] == ["Colocation"] * 3


def test_how_well_a_month_keeps_the_rules_is_in_its_metadata_and_in_the_warehouse(
    site: Site, recent: list[str]
) -> None:
    month = recent[-1]
    site.deliver(month, rows=2, ListCost="")
    run = site.run(month)
    metadata = site.metadata(run, names.cost_and_usage(NAME))
    assert 90 < metadata["Conformance score (%)"].value < 100
    (broken,) = [record.data for record in metadata["Broken rules"].records]
    assert (broken["rule"], broken["severity"], broken["violations"]) == ("ListCost-C-003-M", "ERROR", 2)
    examples = [record.data for record in metadata["Examples"].records]
    assert [(example["file"], example["place"]) for example in examples] == [
        (f"{month}/expenses.csv", "line 2"),
        (f"{month}/expenses.csv", "line 3"),
    ]
    assert examples[0]["values"].startswith("ListCost = (empty)")

    of_month = f"FROM focus.conformance WHERE Connection = '{NAME}' AND Month = '{month}'"
    assert site.query(
        f"SELECT RuleId, ColumnId, Level, Severity, Violations, \"Rows\", Examples[0] ->> 'line' {of_month} "
        "AND Verdict = 'failed'"
    ) == [("ListCost-C-003-M", "ListCost", "MUST", "ERROR", 2, 2, "2")]
    ((score,),) = site.query(
        "SELECT round(100 * count_if(Verdict = 'passed') / count(*), 1) "
        f"{of_month} AND Verdict NOT IN ('not applicable', 'note')"
    )
    assert score == metadata["Conformance score (%)"].value

    site.deliver(month, rows=2)
    site.run(month)
    assert site.query(f"SELECT DISTINCT Verdict {of_month} ORDER BY 1") == [("not applicable",), ("passed",)]


@pytest.mark.parametrize(
    ("former", "faulty", "said"),
    [
        ({}, {"cost": "1,234.5"}, "where BilledCost is '1,234.5'"),
        ({}, {"ChargeCategory": ""}, "ChargeCategory"),
        ({"rows": 9}, {"rows": 1}, "held back: it would take"),
    ],
)
def test_a_run_whose_month_is_refused_says_why_in_its_error_and_its_log(
    site: Site, recent: list[str], former: dict, faulty: dict, said: str
) -> None:
    month = recent[-1]
    if former:
        site.deliver(month, **former)
        assert site.run(month).success
    site.deliver(month, **faulty)
    run = site.run(month)
    assert not run.success
    evaluated = {e.check_name: e for e in site.evaluations(run)}
    assert set(evaluated) == set(CHECKS), "all checks are recorded before the step ends"
    summary = evaluated["accepted"].description
    assert said in summary
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data.description == summary
    logged = [entry for entry in site.instance.all_logs(run.run_id) if entry.level == logging.ERROR]
    assert any(entry.user_message == summary for entry in logged)


def test_a_rejected_delivery_keeps_the_last_good_month_and_its_own_bytes(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month, cost="5")
    site.tick_and_load()
    site.deliver(month, cost="1,234.5")
    (run,) = site.tick_and_load()
    assert not run.success
    failed = {e.check_name: e for e in site.evaluations(run) if not e.passed}
    assert set(failed) == {"accepted", "text_format", "values_readable"}
    assert failed["accepted"].blocking
    assert failed["accepted"].severity == dg.AssetCheckSeverity.ERROR
    assert f"line 2 of {month}/expenses.csv, where BilledCost is '1,234.5'" in failed["accepted"].description
    assert "the last good month stays in the table" in failed["accepted"].description
    assert site.billed(month) == Decimal("5")
    (kept,) = (file.path for file in current_delivery(NAME, month, site.data_dir).files)
    assert kept.read_bytes() == (site.bucket / month / "expenses.csv").read_bytes()
    assert not site.look_at_accepted().run_requests
    assert site.publish(dg.RunRequest(partition_key=month)).success
    assert site.billed(month) == Decimal("5"), "publishing by hand takes what is accepted, and nothing else"


def test_a_file_with_rows_of_another_month_is_rejected_by_name_and_the_rest_is_loaded(
    site: Site, recent: list[str]
) -> None:
    month = recent[-1]
    site.deliver(month, cost="5")
    site.deliver(month, "late.csv", cost="9", ChargePeriodStart=f"{recent[0]}-05T00:00:00Z")
    (run,) = site.tick_and_load()
    assert run.success
    check = next(e for e in site.evaluations(run) if e.check_name == "charge_month")
    assert not check.passed
    assert f"{month}/late.csv is rejected" in check.description
    (example,) = [record.data for record in check.metadata["Examples"].records]
    assert example["file"] == f"{month}/late.csv"
    assert example["values"] == f"ChargePeriodStart = {recent[0]}-05T00:00:00Z"
    assert site.billed(month) == Decimal("5")
    assert site.query("SELECT File, Rule FROM focus.rejected_files") == [(f"{month}/late.csv", "charge_month")]
    (site.bucket / month / "late.csv").unlink()
    site.tick_and_load()
    assert site.query("SELECT count(*) FROM focus.rejected_files") == [(0,)]


def test_a_month_that_was_never_delivered_is_materialised_with_no_rows(site: Site, recent: list[str]) -> None:
    site.deliver(recent[-1])
    run = site.run(recent[0])
    assert run.success
    metadata = site.metadata(run, names.cost_and_usage(NAME))
    assert metadata["dagster/partition_row_count"].value == 0


def test_a_month_that_expires_row_by_row_stays_as_it_was_first_landed(site: Site, recent: list[str]) -> None:
    """Of what the provider keeps less of from day to day nothing is taken again, unless nothing is held of it."""
    connection = MonthFolders(NAME, site.bucket.as_uri())

    def delivery() -> Delivery | None:
        discovery = replace(connection.discover(), expiring=(recent[0],))
        return delivery_of(recent[0], discovery, connection, 2, site.data_dir)

    site.deliver(recent[0], rows=4)
    assert delivery() == connection.discover().deliveries[recent[0]]
    assert site.run(recent[0]).success
    site.deliver(recent[0], rows=3)
    assert delivery() is None


def test_an_unchanged_month_is_not_fetched_parsed_or_written_again(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month)
    site.run(month)
    staged = site.data_dir.staged(NAME, month)
    before = {path: path.stat().st_ino for path in staged.iterdir()}
    run = site.run(month)
    raw = site.metadata(run, names.raw_files(NAME))
    assert raw["Downloaded files"].value == 0
    assert {path: path.stat().st_ino for path in staged.iterdir()} == before
    assert site.query("SELECT count(*) FROM focus.loads") == [(1,)]


def test_sub_accounts_are_data_sources_below_their_connection(site: Site, recent: list[str]) -> None:
    site.deliver(recent[0], cost="1", SubAccountId="team-a", SubAccountName="Team A")
    site.deliver(recent[1], cost="2", SubAccountId="team-a", SubAccountName="Team A (renamed)")
    site.deliver(recent[1], "b.csv", cost="4", SubAccountId="team-b", SubAccountName="")
    site.deliver(recent[1], "none.csv", cost="8", SubAccountId="")
    site.tick_and_load()
    sources = site.query(
        'SELECT DataSourceId, ParentId, Name, FirstMonth, LastMonth, "Rows", BilledCost FROM focus.data_sources'
    )
    assert sources == [
        (NAME, None, NAME, recent[0], recent[1], 4, Decimal(15)),
        (f"{NAME}/team-a", NAME, "Team A (renamed)", recent[0], recent[1], 2, Decimal(3)),
        (f"{NAME}/team-b", NAME, "team-b", recent[1], recent[1], 1, Decimal(4)),
    ]


def test_costs_of_two_currencies_are_never_added_up(site: Site, recent: list[str]) -> None:
    site.deliver(recent[0], cost="1")
    site.deliver(recent[0], "in-euro.csv", cost="2", BillingCurrency="EUR")
    site.tick_and_load()
    assert site.query("SELECT BillingCurrency, BilledCost FROM focus.data_sources") == [
        ("EUR", Decimal(2)),
        ("USD", Decimal(1)),
    ]


def test_a_month_is_published_while_somebody_reads_and_the_reader_sees_what_it_has_opened(
    site: Site, recent: list[str]
) -> None:
    """Of a DuckLake test_warehouse.py shows the same."""
    only_of_a_file(site)
    site.deliver(recent[0], cost="1")
    site.run(recent[0])
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True)\n"
        "for _ in range(2):\n"
        "    print(c.sql('SELECT sum(BilledCost) FROM focus.cost_and_usage').fetchone()[0], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file_of(site.data_dir))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert Decimal(reader.stdout.readline().decode()) == 1
        site.deliver(recent[0], cost="2")
        assert site.run(recent[0]).success
        assert [run.success for run in site.published] == [True]
        assert site.billed(recent[0]) == 2, "a new reader sees the new month"
        reader.stdin.write(b"\n")
        reader.stdin.flush()
        assert Decimal(reader.stdout.readline().decode()) == 1
        reader.stdin.close()


def test_a_process_that_has_the_file_open_for_writing_is_named_and_waited_for(site: Site, recent: list[str]) -> None:
    """Its changes would be lost."""
    only_of_a_file(site)
    site.deliver(recent[0])
    site.run(recent[0])
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file_of(site.data_dir))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(WarehouseLocked, match=rf"is open for writing in the process {writer.pid} .*Close it there"):
            with warehouse_of(site.data_dir).writing():
                pass
        writer.stdin.close()
    with warehouse_of(site.data_dir).writing() as connection:
        assert isinstance(connection, duckdb.DuckDBPyConnection)


def test_the_wrong_folder_fails_the_run_with_a_sentence_and_no_retries(site: Site, recent: list[str]) -> None:
    (site.bucket / "March-2025").mkdir(parents=True)
    run = site.run(recent[0])
    assert not run.success
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    message = failure.step_failure_data.user_failure_data.description
    assert message.startswith(f"{NAME} {recent[0]}: No billing periods found: ")
    assert "'March-2025/'" in message


def test_an_account_that_two_connections_deliver_is_pointed_out(
    make_site: Callable[..., Site], recent: list[str]
) -> None:
    """It is loaded, for only people know which of the two is wrong."""
    month = recent[-1]
    site = make_site("first", "second")
    for name in ("first", "second"):
        site.bucket = site.bucket.parent / name
        site.deliver(month, rows=2, SubAccountId="team-a" if name == "first" else "team-b")
        site.run(month, name)
        (check,) = [e for e in site.evaluations(site.published[0]) if e.check_name == "delivered_once"]
        assert check.passed, "other sub-accounts of one bill are no double count"
    site.deliver(month, rows=2, SubAccountId="team-a")
    assert site.run(month, "second").success
    (check,) = [e for e in site.evaluations(site.published[0]) if e.check_name == "delivered_once"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "first and second both deliver Equinix, billing account acct-001, sub-account team-a" in check.description


def materialise(site: Site, month: str, *keys: dg.AssetKey) -> dg.ExecuteInProcessResult:
    """These assets alone, as a person selects them in the UI."""
    everything = site.definitions.get_implicit_global_asset_job_def()
    return everything.execute_in_process(
        partition_key=month, instance=site.instance, asset_selection=list(keys), raise_on_error=False
    )


def test_the_unified_table_can_be_materialised_alone(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month, cost="3")
    assert materialise(site, month, names.raw_files(NAME), names.cost_and_usage(NAME)).success
    run = materialise(site, month, names.UNIFIED)
    assert run.success
    assert site.billed(month) == Decimal(3)
    assert {event.asset_key for event in run.get_asset_materialization_events()} == {names.UNIFIED}
    run = materialise(site, month, names.DATA_SOURCES)
    assert {event.asset_key for event in run.get_asset_materialization_events()} == {names.DATA_SOURCES}


def test_all_assets_of_a_month_can_be_materialised_by_one_run(site: Site, recent: list[str]) -> None:
    """As a person selects them in the UI, or with `dg launch`: the table is published by the same run."""
    month = recent[-1]
    site.deliver(month, cost="3")
    run = materialise(site, month, names.raw_files(NAME), names.cost_and_usage(NAME), names.UNIFIED, names.DATA_SOURCES)
    assert run.success
    assert site.billed(month) == Decimal(3)
    evaluated = [(e.check_name, e.partition) for e in site.evaluations(run)]
    assert sorted(evaluated) == sorted((check, month) for check in (*CHECKS, "delivered_once", "defined", *OF_MONTHS))
    for asset in (names.raw_files(NAME), names.cost_and_usage(NAME), names.UNIFIED, names.DATA_SOURCES):
        assert site.metadata(run, asset)
    site.deliver(month, cost="1,5")
    refused = materialise(site, month, names.raw_files(NAME), names.cost_and_usage(NAME), names.UNIFIED)
    assert not refused.success
    assert site.billed(month) == Decimal(3)


def test_months_that_were_materialised_without_the_table_are_published_by_the_next_look(
    site: Site, recent: list[str]
) -> None:
    """The README's backfill: a connection's group alone, which lands and stages its months."""
    for month in recent:
        site.deliver(month, cost="3")
        assert materialise(site, month, names.raw_files(NAME), names.cost_and_usage(NAME)).success
    assert [run.success for run in site.publish_accepted()] == [True]
    assert [site.billed(month) for month in recent] == [Decimal(3)] * len(recent)
    assert not site.tick().run_requests


def test_the_table_s_page_says_where_it_is_and_how_to_ask_it(site: Site, recent: list[str]) -> None:
    """What is written there is run as it stands; tokens come last."""
    month = recent[-1]
    site.deliver(month, rows=2, cost="1234.5")
    site.deliver(month, "in-euro.csv", cost="7", BillingCurrency="EUR")
    assert site.run(month).success
    shown = site.metadata(site.published[0], names.UNIFIED)
    assert list(shown)[:2] == ["Table", "Query"]
    assert list(shown)[-1] == "Tokens"
    assert shown["Table"].value == f"focus.cost_and_usage in {warehouse_of(site.data_dir).place}"
    assert shown["BilledCost"].value == "7.00 EUR · 2,469.00 USD"
    answer = site.query(shown["Query"].value.removeprefix("```sql\n").removesuffix("\n```"))
    assert {row[2] for row in answer} == {"USD", "EUR"}
    only_of_a_file(site)  # from here on: DuckDB would download the extensions of a DuckLake
    snippet = metadata.unified_description(warehouse_of(site.data_dir)).split("```")[1].removeprefix("python\n")
    ran = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    assert month in ran.stdout


def test_what_is_rejected_is_not_plotted(site: Site, recent: list[str]) -> None:
    """A sum without the rows that cannot be read would look like the month's cost."""
    month = recent[-1]
    for cost, plotted in (("5", True), ("$5", False), ("6", True)):
        site.deliver(month, cost=cost)
        (run,) = site.tick_and_load()
        shown = site.metadata(run, names.cost_and_usage(NAME))
        numbers = {"BilledCost (USD)", "EffectiveCost (USD)", "dagster/partition_row_count"}
        assert numbers & set(shown) == (numbers if plotted else set())


def test_a_check_s_page_names_the_other_months_that_fail_it(site: Site, recent: list[str]) -> None:
    """The UI calls a check failed when one month fails it, and shows the latest month's verdict."""
    late = {"ChargePeriodStart": "2024-01-05T00:00:00Z"}
    for month in recent[:2]:
        site.deliver(month)
        site.deliver(month, "late.csv", **late)
    site.deliver(recent[2])
    runs = site.tick_and_load()
    said = [{e.check_name: e.description for e in site.evaluations(run)}["charge_month"] for run in runs]
    assert "it fails in" not in said[0], "nothing else was judged yet"
    assert said[1].endswith(f" · it fails in {recent[0]}")
    assert said[2] == f"1 files, 1 rows · it fails in {recent[0]} to {recent[1]}"
    accepted = {e.check_name: e.description for e in site.evaluations(runs[2])}["accepted"]
    assert accepted == "1 rows of 1 files are accepted"
