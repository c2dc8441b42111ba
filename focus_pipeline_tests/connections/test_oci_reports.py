"""Oracle's FOCUS reports in stores that they are copied to."""

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.connections.delivery import NoBillingPeriods
from focus_pipeline.connections.oci_reports import OciReports
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.oci_export import OciExport

MONTH = "2025-03"
ROWS = clean_rows("oci_1_0_preview", MONTH)

Load = Callable[..., Loaded]


def connection_to(place: Place, folder: str = "") -> OciReports:
    return OciReports("oracle", f"{place.url}{folder}", place.auth, place.endpoint_url)


def billed(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


def test_the_files_of_a_month_s_days_are_the_month(place: Place, load: Load) -> None:
    """A space in the key, additive files, names of the preview before 1.0."""
    export = OciExport(place.put)
    export.deliver(MONTH, 1, ROWS[:5])
    connection = connection_to(place)
    assert load(connection, MONTH).billed == billed(ROWS[:5])
    export.deliver(MONTH, 2, ROWS[5:9])
    export.deliver(MONTH, 2, ROWS[9:])
    loaded = load(connection, MONTH)
    assert (loaded.staged.rows, loaded.billed) == (len(ROWS), billed(ROWS))
    assert {rule.gap for rule in loaded.verdict.rules if rule.severity == "WARN"} == {"Oracle 1.0-preview"}
    assert not [rule for rule in loaded.verdict.rules if rule.severity == "ERROR"]


def test_each_month_has_the_files_of_its_own_folder(make_place: Callable[[str], Place], load: Load) -> None:
    place = make_place("local")
    export = OciExport(place.put)
    april = clean_rows("oci_1_0_preview", "2025-04")
    export.deliver(MONTH, 31, ROWS[:5])
    export.deliver("2025-04", 1, april[:2])
    connection = connection_to(place)
    assert connection.discover().months == (MONTH, "2025-04")
    assert load(connection, MONTH).billed == billed(ROWS[:5])
    assert load(connection, "2025-04").billed == billed(april[:2])


def test_a_file_that_is_delivered_again_replaces_its_own_rows(place: Place, load: Load) -> None:
    export = OciExport(place.put)
    export.deliver(MONTH, 1, ROWS[:5])
    export.deliver(MONTH, 2, ROWS[5:9])
    connection = connection_to(place)
    load(connection, MONTH)
    export.files = 1
    export.deliver(MONTH, 2, ROWS[5:6])
    assert load(connection, MONTH).billed == billed(ROWS[:6])


def test_a_file_that_oracle_deleted_stays_part_of_its_month(place: Place, load: Load) -> None:
    export = OciExport(place.put)
    first = export.deliver(MONTH, 1, ROWS[:5])
    export.deliver(MONTH, 2, ROWS[5:])
    connection = connection_to(place)
    load(connection, MONTH)
    place.delete(first)
    assert load(connection, MONTH).billed == billed(ROWS)
    export.deliver(MONTH, 3, ROWS[:1])
    assert load(connection, MONTH).staged.rows == len(ROWS) + 1


def test_a_bad_file_that_was_withdrawn_does_not_come_back(place: Place, load: Load) -> None:
    """Neither one that kept its month from being accepted, nor one that was rejected by itself."""
    export = OciExport(place.put)
    export.deliver(MONTH, 1, ROWS[:5])
    connection = connection_to(place)
    load(connection, MONTH)
    broken = export.deliver(MONTH, 2, [ROWS[5] | {"BilledCost": "a lot"}])
    assert not load(connection, MONTH).verdict.accepted
    place.delete(broken)
    again = load(connection, MONTH)
    assert (again.verdict.accepted, again.billed) == (True, billed(ROWS[:5]))
    unreadable = export.deliver(MONTH, 3, ROWS[6:7])
    place.put(unreadable, b"no report at all")
    assert [file.key for file in load(connection, MONTH).staged.rejected_files] == [unreadable]
    place.delete(unreadable)
    assert load(connection, MONTH).staged.rejected_files == []


def test_a_stray_file_goes_with_what_was_landed_of_its_month(place: Place, load: Load, tmp_path: Path) -> None:
    """A valid file that should not have been there stays part of the month, until a person says otherwise."""
    export = OciExport(place.put)
    export.deliver(MONTH, 1, ROWS[:5])
    stray = export.deliver(MONTH, 2, ROWS[5:9])
    connection = connection_to(place)
    load(connection, MONTH)
    place.delete(stray)
    assert load(connection, MONTH).billed == billed(ROWS[:9])
    shutil.rmtree(tmp_path / "data" / "landing" / "oracle" / MONTH)
    assert load(connection, MONTH).billed == billed(ROWS[:5])


@pytest.mark.parametrize("folder", ["copies/", "copies/FOCUS Reports/"])
def test_the_url_is_that_of_the_folder_or_of_what_holds_it(folder: str, place: Place) -> None:
    OciExport(place.put, prefix="copies/").deliver(MONTH, 1)
    place.put("copies/FOCUS Reports/readme.txt", b"x")
    place.put("copies/FOCUS Reports/2025/03/01/notes.txt", b"x")
    discovery = connection_to(place, folder).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert [ignored.reason for ignored in discovery.ignored] == ["not a report, which is a .csv.gz file"]


def test_a_place_without_reports_says_what_was_looked_for(place: Place) -> None:
    place.put("other/file.csv", b"x")
    with pytest.raises(NoBillingPeriods, match="has no folder YYYY/MM/"):
        connection_to(place).discover()
