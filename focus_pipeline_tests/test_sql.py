"""What DuckDB may touch while it reads what others delivered, and that a path means the file of that name."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.sql import Sandbox, literal, open_duckdb, path_literal
from focus_pipeline.warehouse import open_warehouse


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
        else open_warehouse(inside / "warehouse.duckdb")
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


def test_a_path_that_duckdb_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a backslash; move or rename it"):
        path_literal(tmp_path / "back\\slash.csv")
