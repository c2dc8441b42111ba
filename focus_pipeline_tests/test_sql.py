"""What DuckDB may touch while it reads what others delivered, and that a path means the file of that name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.settings import load_settings
from focus_pipeline.sql import Sandbox, literal, open_duckdb, path_literal
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.month_files import MONTH, focus_row, write_csv, write_parquet
from focus_pipeline_tests.warehouses import publish, warehouse_at


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that is not delivered."""
    path = tmp_path / "outside" / "secret.csv"
    path.parent.mkdir()
    path.write_text("secret\nhunter2\n")
    return path


@pytest.fixture(params=["memory", "warehouse"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Each way in which the project opens DuckDB for delivered data."""
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "bill.csv").write_text("a\n1\n")
    opened = (
        open_duckdb(Sandbox((inside,), inside / "scratch", "100MB"))
        if request.param == "memory"
        else warehouse_at(inside / "warehouse.duckdb").writing()
    )
    with opened as connection:
        yield connection


def test_duckdb_reads_and_writes_below_its_directories(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    inside = tmp_path / "data"
    assert connection.execute(f"SELECT a FROM read_csv({path_literal(inside / 'bill.csv')})").fetchall() == [(1,)]
    connection.execute(f"COPY (SELECT 2 AS a) TO {literal(str(inside / 'out.parquet'))}")
    assert connection.execute(f"SELECT a FROM read_parquet({path_literal(inside / 'out.parquet')})").fetchall() == [
        (2,)
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{outside}')",
        "SELECT * FROM read_csv('{data}/../outside/secret.csv')",
        "SELECT * FROM read_csv('{data}/link.csv/../../outside/secret.csv')",
        "SELECT * FROM '{outside}'",
        "SELECT * FROM read_text('{outside}')",
        "SELECT * FROM glob('{folder}/*')",
        "COPY (SELECT 1) TO '{folder}/written.csv'",
        "ATTACH '{folder}/other.duckdb'",
        "EXPORT DATABASE '{folder}/export'",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "INSTALL h3 FROM community",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET autoload_known_extensions = true",
        "SET memory_limit = '1TB'",
        "RESET lock_configuration",
    ],
)
def test_no_statement_reaches_beyond_them(
    connection: duckdb.DuckDBPyConnection, outside: Path, tmp_path: Path, statement: str
) -> None:
    names = {"outside": outside, "data": tmp_path / "data", "folder": outside.parent}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
        connection.execute(statement.format(**names)).fetchall()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["bill[1].csv", "b*.csv", "b?ll.csv", "[a-z].csv", "x[!a].csv", "it's.csv", "{a,b}.csv"]
)
@pytest.mark.parametrize("folder", ["plain", "year[24]", "all*", "why?"])
def test_a_path_is_the_file_of_that_name_and_not_a_pattern(tmp_path: Path, folder: str, name: str) -> None:
    path = tmp_path / folder / name
    path.parent.mkdir()
    for other in ("bill1.csv", "bill.csv", "a.csv", "xb.csv"):
        (path.parent / other).write_text("name\nanother\n")
    (tmp_path / "year2").mkdir()
    (tmp_path / "year2" / name).write_text("name\nanother\n")
    path.write_text(f'name\n"{name}"\n')
    with open_duckdb(Sandbox((tmp_path,))) as connection:
        assert connection.execute(f"SELECT name FROM read_csv({path_literal(path)})").fetchall() == [(name,)]


@pytest.mark.parametrize("name", ["year[24]", "all*", "it's", "ünï {x}", "a,b", "'; DROP TABLE x; --"])
def test_a_data_directory_may_be_called_anything_that_duckdb_takes(
    tmp_path: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FOCUS_DATA_DIR", str(tmp_path / name))
    data_dir = replace(load_settings().storage, cache=compiled_rules)
    (tmp_path / "delivered" / MONTH).mkdir(parents=True)
    for number in range(2):  # two files are joined
        write_csv(tmp_path / "delivered" / MONTH / f"{number}.csv", [focus_row(ResourceId=f"cab-{number}")])
        write_parquet(tmp_path / "delivered" / MONTH / f"{number}.parquet", [focus_row(ResourceId=f"r{number}")])
    connection = MonthFolders("colo_costs", (tmp_path / "delivered").as_uri())
    landed = land(connection, connection.discover().deliveries[MONTH], data_dir)
    assert judge(stage(landed, data_dir, month_rule=True), data_dir, month_rule=True).accepted
    publish(MONTH, data_dir)
    with warehouse_of(data_dir).reading() as warehouse:
        assert warehouse.execute("SELECT count(*) FROM focus.cost_and_usage").fetchone() == (4,)


@pytest.mark.parametrize("name", ["why?", "back\\slash", "bell\a"])
def test_a_data_directory_that_duckdb_does_not_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FOCUS_DATA_DIR", str(tmp_path / name))
    with pytest.raises(ValueError, match=r"DuckDB takes no path with .* set FOCUS_DATA_DIR to another one"):
        load_settings()


def test_a_path_that_duckdb_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a backslash; move or rename it"):
        path_literal(tmp_path / "back\\slash.csv")
