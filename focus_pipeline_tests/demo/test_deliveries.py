"""The demo's deliveries: the same on every run, and what the real steps make of them."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.demo.deliveries import FILES, LATE_FILE, DemoDelivery, write_deliveries
from focus_pipeline.months import months_back
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.stage import StagedMonth, stage
from focus_pipeline.pipeline.staged_rows import rows_of_month
from focus_pipeline.records.verdicts import Verdict
from focus_pipeline.sql import literal
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.demo.demo_connections import demo_connections

pytestmark = pytest.mark.slow

MONTHS = months_back("2025-07", 6)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def deliveries(root: Path) -> list[DemoDelivery]:
    return write_deliveries(root, MONTHS)


@pytest.fixture(scope="module")
def ingested(
    root: Path, deliveries: list[DemoDelivery], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[DemoDelivery, StagedMonth, Verdict]]:
    """Every delivery after the steps that a run takes it through."""
    data_dir = DataDir(tmp_path_factory.mktemp("data"))
    connections = demo_connections(root)
    discoveries = {name: connection.discover() for name, connection in connections.items()}
    ingested = []
    for delivery in deliveries:
        found = discoveries[delivery.connection].deliveries[delivery.month]
        landed = land(connections[delivery.connection], found, data_dir)
        month_rule = connections[delivery.connection].month_rule
        version = "1.2" if delivery.connection == "google_main" else None
        staged = stage(landed, data_dir, month_rule=month_rule, focus_version=version)
        ingested.append((delivery, staged, judge(staged, data_dir, month_rule=month_rule)))
    return ingested


@pytest.fixture
def aws(root: Path, deliveries: list[DemoDelivery]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The delivered files of aws_main as the table `delivered`."""
    with duckdb.connect() as connection:
        files = f"read_parquet({literal(f'{root}/aws_main/**/*.parquet')}, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW delivered AS FROM {files}")
        yield connection


def test_lists_what_it_wrote(root: Path, deliveries: list[DemoDelivery]) -> None:
    assert [(d.month, d.connection) for d in deliveries] == [(month, name) for month in MONTHS for name in FILES]
    written = sorted(p for p in root.rglob("*") if p.is_file() and not p.name.lower().endswith("manifest.json"))
    assert sorted(file for d in deliveries for file in d.files) == written
    usual = {name: max(d.rows for d in deliveries if d.connection == name) for name in FILES}
    expected = {"aws_main": 4015, "azure_main": 1972, "colo_costs": 45, "saas_tools": 190}
    assert usual == pytest.approx(expected | {"google_main": 248, "oracle_main": 155}, rel=0.05)
    assert sum(file.stat().st_size for d in deliveries for file in d.files) < 25_000_000


def test_writes_the_same_bytes_everywhere(root: Path, deliveries: list[DemoDelivery], tmp_path: Path) -> None:
    again = write_deliveries(tmp_path, MONTHS)
    assert _contents(tmp_path) == _contents(root)
    assert [d.rows for d in again] == [d.rows for d in deliveries]


def test_a_month_does_not_depend_on_the_other_months(
    root: Path, deliveries: list[DemoDelivery], tmp_path: Path
) -> None:
    write_deliveries(tmp_path, MONTHS[2:4])
    shared = {name: content for name, content in _contents(root).items() if MONTHS[3] in name}
    assert {name: content for name, content in _contents(tmp_path).items() if MONTHS[3] in name} == shared


def test_leaves_what_is_there_untouched(tmp_path: Path) -> None:
    months = MONTHS[:2]
    write_deliveries(tmp_path, months)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    damaged = tmp_path / "saas_tools" / months[0] / "saas-tools.csv.gz"
    damaged.write_bytes(b"something else")
    other = tmp_path / "saas_tools" / months[0] / "of-the-user.csv"
    other.write_text("kept")

    write_deliveries(tmp_path, months)

    after = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} == {damaged, other}
    assert damaged.read_bytes() != b"something else"
    assert other.read_text() == "kept"


def test_the_late_invoice_moves_on_with_the_months(tmp_path: Path) -> None:
    write_deliveries(tmp_path, MONTHS[:2])
    write_deliveries(tmp_path, MONTHS[:3])
    assert [path.parent.name for path in tmp_path.rglob(LATE_FILE)] == [MONTHS[1]]


@pytest.mark.parametrize(
    "months", [[], ["2025-01"], ["2025-02", "2025-01"], ["2025-01", "2025-01"], ["2025-1", "2025-2"]]
)
def test_refuses_months_that_are_no_history(months: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two, oldest first"):
        write_deliveries(tmp_path, months)


def test_every_month_is_accepted_with_all_its_files_and_nothing_of_it_is_an_error(
    ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]],
) -> None:
    """A newcomer's first look is at green months."""
    assert all(verdict.accepted for _, _, verdict in ingested)
    assert [file for _, staged, _ in ingested for file in staged.rejected_files] == []
    red = [
        check
        for _, _, verdict in ingested
        for check in verdict.checks
        if not check.passed and check.severity == "ERROR"
    ]
    assert red == []


def test_only_what_the_formats_imply_is_reported(ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]]) -> None:
    reported = Counter(
        (staged.connection, failure.rule, failure.severity)
        for _, staged, verdict in ingested
        for check in verdict.checks
        for failure in check.failures
    )
    google_lacks = (
        "CostAndUsage-D-005-M, CostAndUsage-D-023-M, CostAndUsage-D-027-O, CostAndUsage-D-033-O, CostAndUsage-D-040-M, "
        "CostAndUsage-D-042-O"
    )
    assert reported == {
        # A commitment is used in other months than the one in which it is bought.
        ("azure_main", "EffectiveCost-C-012-C", "NOTE"): 1,
        # The columns that Google's export lacks, said once for both files of a month.
        ("google_main", google_lacks, "WARN"): len(MONTHS),
        # Google counts tokens in "count".
        ("google_main", "UnitFormat-A-003-M", "WARN"): len(MONTHS),
        # What Oracle's reports are known for, said once for the three files of a month.
        ("oracle_main", "CostAndUsage-D-026-M, CostAndUsage-D-030-M", "WARN"): len(MONTHS),
        ("oracle_main", "CostAndUsage-D-062-C", "WARN"): len(MONTHS),
        ("oracle_main", "ColumnHandling-A-010-M", "WARN"): len(MONTHS),
        ("oracle_main", "BillingPeriodEnd-C-004-M", "WARN"): len(MONTHS),
        ("oracle_main", "DateTimeFormat-A-005-M", "WARN"): len(MONTHS),
        ("oracle_main", "PricingCategory-C-007-M", "WARN"): len(MONTHS),
    }


def test_versions_are_told_by_the_manifest_or_the_columns(
    ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]],
) -> None:
    versions = {staged.connection: {file.layout.focus_version for file in staged.files} for _, staged, _ in ingested}
    assert versions == {
        "aws_main": {"1.2"},
        "azure_main": {"1.0r2"},
        "colo_costs": {"1.0"},
        "google_main": {"1.2"},
        "oracle_main": {"1.0-preview"},
        "saas_tools": {"1.2"},
    }


def test_staged_totals_are_those_of_the_files(ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]]) -> None:
    for delivery, staged, _ in ingested:
        expected: Counter = Counter()
        for path in delivery.files:
            expected += _sums_in_file(path)
        held: Counter = Counter()
        for total in staged.totals:
            held[total.currency, "rows"] = Decimal(total.rows)
            held[total.currency, "BilledCost"] = Decimal(total.billed_cost)
            held[total.currency, "EffectiveCost"] = Decimal(total.effective_cost)
        assert held == expected, (delivery.connection, delivery.month)
        assert staged.rows == delivery.rows


def test_costs_are_price_times_quantity_exactly(ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]]) -> None:
    for _, staged, _ in ingested:
        priced, wrong = duckdb.sql(
            f"""
            SELECT
                count(quantity),
                count(*) FILTER (list_price * quantity <> ListCost OR price * quantity <> ContractedCost)
            FROM (
                SELECT
                    ListCost, ContractedCost,
                    CAST(PricingQuantity AS DECIMAL(19, 6)) AS quantity,
                    CAST(ListUnitPrice AS DECIMAL(19, 10)) AS list_price,
                    CAST(ContractedUnitPrice AS DECIMAL(19, 10)) AS price
                FROM {rows_of_month(staged)}
            )
            """
        ).fetchone()
        assert wrong == 0, (staged.connection, staged.month)
        assert priced > 0.9 * staged.rows or staged.connection == "colo_costs"


def test_discounts_lower_the_costs(ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]]) -> None:
    for _, staged, _ in ingested:
        (upside_down,) = duckdb.sql(
            f"""
            SELECT count(*)
            FROM {rows_of_month(staged)}
            WHERE ListCost < EffectiveCost OR ListCost < ContractedCost OR ContractedCost < EffectiveCost
            """
        ).fetchone()
        assert upside_down == 0, (staged.connection, staged.month)


def test_every_kind_of_charge_is_there(ingested: list[tuple[DemoDelivery, StagedMonth, Verdict]]) -> None:
    for month in MONTHS:
        files = ", ".join(
            literal(str(path)) for _, staged, _ in ingested if staged.month == month for path in staged.paths
        )
        kinds = duckdb.sql(
            "SELECT DISTINCT unnest([ChargeCategory, ChargeClass, CommitmentDiscountStatus]) "
            f"FROM read_parquet([{files}])"
        ).fetchall()
        assert {kind for (kind,) in kinds if kind} == {
            *("Usage", "Purchase", "Tax", "Credit", "Adjustment"),
            *("Correction", "Used", "Unused"),
        }


def test_aws_files_have_the_types_of_aws(aws: duckdb.DuckDBPyConnection) -> None:
    types = {name: kind for name, kind, *_ in aws.execute("DESCRIBE delivered").fetchall()}
    assert len(types) == 60
    assert Counter(kind for kind in types.values() if kind != "VARCHAR") == {
        "DOUBLE": 12,
        "TIMESTAMP": 4,
        "MAP(VARCHAR, VARCHAR)": 2,
        "MAP(VARCHAR, DOUBLE)": 1,
    }


def test_the_savings_plan_is_used_up_each_month(aws: duckdb.DuckDBPyConnection) -> None:
    months = aws.execute(
        """
        SELECT
            round(sum(BilledCost) FILTER (ChargeCategory = 'Purchase'), 6),
            round(sum(EffectiveCost) FILTER (CommitmentDiscountStatus IN ('Used', 'Unused')), 6)
        FROM delivered
        WHERE CommitmentDiscountId IS NOT NULL
        GROUP BY BillingPeriodStart
        """
    ).fetchall()
    assert len(months) == len(MONTHS)
    assert all(bought == used for bought, used in months)


def test_a_reservation_of_a_year_is_used_up_day_by_day(root: Path, deliveries: list[DemoDelivery]) -> None:
    bought, hours_of_days = duckdb.sql(
        f"""
        WITH hours AS (
            SELECT ChargeCategory, ChargePeriodStart, sum(CAST(PricingQuantity AS DECIMAL(38, 4))) AS hours
            FROM read_csv({literal(f"{root}/azure_main/**/*.csv.gz")}, all_varchar = true)
            WHERE CommitmentDiscountName = 'vm-warehouse' AND ChargePeriodStart >= '2025-03-01'
            GROUP BY ALL
        )
        SELECT
            any_value(hours) FILTER (ChargeCategory = 'Purchase'),
            list(DISTINCT hours) FILTER (ChargeCategory = 'Usage')
        FROM hours
        """
    ).fetchone()
    assert hours_of_days == [12 * 24]
    assert bought == 365 * 12 * 24


def _contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _sums_in_file(path: Path) -> Counter:
    """(currency, "rows" or column) -> sum, read from a delivered file without any of the project's steps."""
    file = literal(str(path))
    relation = f"read_parquet({file})" if path.suffix == ".parquet" else f"read_csv({file}, all_varchar = true)"
    rows = duckdb.sql(
        f"""
        SELECT
            BillingCurrency,
            count(*),
            sum(CAST(CAST(BilledCost AS VARCHAR) AS DECIMAL(38, 18))),
            sum(CAST(CAST(EffectiveCost AS VARCHAR) AS DECIMAL(38, 18)))
        FROM {relation}
        GROUP BY BillingCurrency
        """
    ).fetchall()
    sums: Counter = Counter()
    for currency, count, billed, effective in rows:
        sums[currency, "rows"] = Decimal(count)
        sums[currency, "BilledCost"] = billed
        sums[currency, "EffectiveCost"] = effective
    return sums
