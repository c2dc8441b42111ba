"""FOCUS exports of Azure Cost Management in a live blob server and in a copy, run by run."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.delivery import HeldBack, NoBillingPeriods
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.fakes.azure_export import AzureExport
from focus_pipeline_tests.fakes.clean_months import clean_rows

MONTH, NEXT = "2025-03", "2025-04"

Load = Callable[..., Loaded]


@pytest.fixture(params=["local", "azure"])
def container(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Place:
    """A copy in a local folder, and the container itself."""
    return make_place(request.param)


def export_in(place: Place, **options: object) -> AzureExport:
    return AzureExport(place.put, place.delete, **options)


def connection_to(place: Place, directory: str = "focus-costs/", export_name: str | None = None) -> AzureCostExport:
    return AzureCostExport("azure_main", f"{place.url}{directory}", export_name, place.auth, place.endpoint_url)


def billed(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


@pytest.mark.parametrize(
    ("variant", "version"),
    [("azure_1_0", "1.0"), ("azure_1_0r2", "1.0r2"), ("azure_1_2_preview", "1.2-preview"), ("azure_1_2", "1.2")],
)
def test_a_month_is_what_its_run_s_manifest_names_in_the_version_that_it_declares(
    variant: str, version: str, container: Place, load: Load
) -> None:
    export_in(container, variant=variant, version=version).run(MONTH, parts=3)
    loaded = load(connection_to(container), MONTH)
    assert loaded.billed == billed(clean_rows(variant, MONTH))
    assert {file.layout.focus_version for file in loaded.staged.files} == {version}
    assert loaded.verdict.accepted
    assert {rule.gap for rule in loaded.verdict.rules if rule.severity == "WARN"} == {f"Azure {version}"}
    assert not [rule for rule in loaded.verdict.rules if rule.severity == "ERROR"]


@pytest.mark.parametrize("directory", ["focus-costs/", "focus-costs/focus-daily/", ""])
@pytest.mark.parametrize("time_folder", [True, False], ids=["with_time", "without_time"])
def test_the_url_may_be_the_container_the_directory_or_the_export(
    directory: str, time_folder: bool, container: Place
) -> None:
    export_in(container, time_folder=time_folder).run(MONTH)
    discovery = connection_to(container, directory).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert len(discovery.deliveries[MONTH].objects) == 1


def test_of_several_runs_of_a_month_the_latest_counts(container: Place, load: Load) -> None:
    """File names repeat in every run."""
    export = export_in(container)
    rows = clean_rows(export.variant, MONTH)
    for day, count in ((10, 3), (12, 9), (11, 6)):
        export.run(MONTH, rows[:count], submitted=f"2025-03-{day}T21:04:06.5234447Z", days=(1, 10))
    assert load(connection_to(container), MONTH).billed == billed(rows[:9])


def test_a_later_run_over_fewer_days_does_not_replace_a_fuller_one(container: Place, load: Load) -> None:
    export = export_in(container)
    rows = clean_rows(export.variant, MONTH)
    export.run(MONTH, rows, submitted="2025-03-20T21:04:06Z", days=(1, 20))
    export.run(MONTH, rows[:2], submitted="2025-03-25T09:00:00Z", days=(1, 9))
    connection = connection_to(container)
    assert load(connection, MONTH).staged.rows == len(rows)
    export.run(MONTH, rows[:5], submitted="2025-03-26T21:04:06Z", days=(1, 26))
    assert load(connection, MONTH).staged.rows == 5


@pytest.mark.parametrize("name", ["manifest.json", "_manifest.json", "Manifest.JSON"])
def test_manifests_are_known_by_the_end_of_their_name(name: str, container: Place) -> None:
    export_in(container, manifest_name=name).run(MONTH)
    assert list(connection_to(container).discover().deliveries) == [MONTH]


def test_blob_names_with_a_leading_slash_or_space_are_found(container: Place) -> None:

    def with_slashes(manifest: dict) -> None:
        for blob in manifest["blobs"]:
            blob["blobName"] = f" /{blob['blobName']}"

    export_in(container).run(MONTH, parts=2, change=with_slashes)
    assert len(connection_to(container).discover().deliveries[MONTH].objects) == 2


def test_counts_that_are_null_are_not_zero(container: Place, load: Load) -> None:

    def without_counts(manifest: dict) -> None:
        manifest["dataRowCount"] = None
        for blob in manifest["blobs"]:
            blob["dataRowCount"] = None

    export_in(container).run(MONTH, change=without_counts)
    assert load(connection_to(container), MONTH).staged.rows == len(clean_rows("azure_1_0r2", MONTH))


def test_a_run_without_blobs_is_an_empty_month(container: Place, load: Load) -> None:
    export = export_in(container)
    connection = connection_to(container)
    export.run(MONTH, submitted="2025-03-20T21:04:06Z")
    assert load(connection, MONTH).staged.rows
    export.run(MONTH, [], submitted="2025-03-21T21:04:06Z")
    emptied = load(connection, MONTH)
    assert (emptied.staged.rows, emptied.verdict.accepted) == (0, True)


def test_a_blob_of_another_size_than_the_manifest_says_is_still_being_replaced(container: Place, load: Load) -> None:
    """The month waits, and the others do not."""
    export = export_in(container)
    export.run(MONTH)
    export.run(NEXT, change=lambda manifest: manifest["blobs"][0].update(byteCount=7))
    connection = connection_to(container)
    discovery = connection.discover()
    assert list(discovery.deliveries) == [MONTH]
    assert discovery.held_back[NEXT].startswith("pending")
    with pytest.raises(HeldBack, match="Azure is replacing it"):
        load(connection, NEXT)


def test_parts_without_a_manifest_are_pending(container: Place) -> None:
    export = export_in(container)
    export.run(MONTH)
    export.run(NEXT, manifest=False)
    discovery = connection_to(container).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert discovery.held_back[NEXT].startswith("pending: no run of it has a manifest")


def test_a_run_that_overwrites_takes_the_former_one_away(container: Place, load: Load) -> None:
    export = export_in(container, overwrite=True)
    rows = clean_rows(export.variant, MONTH)
    connection = connection_to(container)
    export.run(MONTH, rows, submitted="2025-03-20T21:04:06Z", parts=3)
    assert load(connection, MONTH).staged.rows == len(rows)
    export.run(MONTH, rows[:4], submitted="2025-03-21T21:04:06Z")
    assert load(connection, MONTH).staged.rows == 4


def test_in_the_first_days_of_a_month_the_previous_one_is_delivered_again(container: Place, load: Load) -> None:
    export = export_in(container)
    rows = clean_rows(export.variant, MONTH)
    connection = connection_to(container)
    tokens = []
    for day, count in ((1, 10), (2, 12), (3, 14)):
        export.run(NEXT, submitted=f"2025-04-0{day}T05:00:00Z", days=(1, day + 1))
        export.run(MONTH, rows[:count], submitted=f"2025-04-0{day}T06:00:00Z")
        loaded = load(connection, MONTH)
        assert loaded.billed == billed(rows[:count])
        tokens.append(loaded.staged.token)
    assert len(set(tokens)) == 3


def test_two_exports_in_one_directory_are_named_and_not_summed(container: Place) -> None:
    for name in ("focus-billing-account", "focus-subscription"):
        export_in(container, name=name).run(MONTH)
    discovery = connection_to(container).discover()
    assert not discovery.deliveries
    assert (
        "'focus-billing-account', 'focus-subscription'. Their sums would count it twice" in discovery.held_back[MONTH]
    )
    one = connection_to(container, export_name="focus-subscription").discover()
    assert ["focus-subscription" in item.key for item in one.deliveries[MONTH].objects] == [True]


def test_exports_of_other_kinds_and_of_several_months_are_left_aside(container: Place) -> None:
    export_in(container, name="actual", kind="ActualCost").run(MONTH)
    export = export_in(container)
    export.run(MONTH)

    def over_two_months(manifest: dict) -> None:
        manifest["runInfo"]["endDate"] = "2025-04-30T00:00:00Z"

    export.run(MONTH, submitted="2025-05-01T00:00:00Z", change=over_two_months)
    discovery = connection_to(container).discover()
    assert len(discovery.deliveries[MONTH].objects) == 1
    reasons = sorted(ignored.reason for ignored in discovery.ignored)
    assert reasons[0].startswith("a run from 2025-03-01 to 2025-04-30, of more than one month")
    assert reasons[1] == "a run of type 'ActualCost', not of a FOCUS export"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest["runInfo"].pop("submittedTime"), "its runInfo.submittedTime: Field required"),
        (lambda manifest: manifest.update(blobs=[{"blobName": "focus-costs/gone.csv.gz"}]), "which is not there"),
    ],
)
def test_a_manifest_that_cannot_be_right_holds_back_its_month_alone(
    change: Callable[[dict], object], message: str, container: Place
) -> None:
    export = export_in(container)
    export.run(MONTH)
    export.run(NEXT, change=change)
    discovery = connection_to(container).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert message in discovery.held_back[NEXT]


def test_a_place_without_an_export_says_what_was_looked_for(container: Place) -> None:
    container.put("focus-costs/readme.txt", b"x")
    with pytest.raises(NoBillingPeriods, match="no folder of an export's days, such as 20250301-20250331/"):
        connection_to(container).discover()


def test_a_manifest_in_a_folder_that_is_of_no_days_is_named(container: Place, load: Load) -> None:
    """A copy under other folders is not silently nothing."""
    container.put("focus-costs/2025-03/run-1/manifest.json", b"{}")
    container.put("focus-costs/2025-03/run-1/part_0.csv", b"x")
    with pytest.raises(
        NoBillingPeriods, match=r"2025-03/run-1/manifest\.json is a manifest in no folder of an export's"
    ):
        connection_to(container).discover()
    export_in(container).run(MONTH, clean_rows("azure_1_0r2", MONTH))
    discovery = connection_to(container).discover()
    told = [one for one in discovery.ignored if one.key.endswith("2025-03/run-1/manifest.json")]
    assert len(told) == 1
    assert "so that its run is not read: keep the names of Azure's own folders" in told[0].reason


def test_only_the_folders_of_the_months_that_are_asked_for_are_listed(container: Place) -> None:
    export = export_in(container)
    for month in ("2025-01", "2025-02", MONTH):
        export.run(month)
    before = len(container.listings())
    assert list(connection_to(container).discover([MONTH]).deliveries) == [MONTH]
    assert not any("20250101" in listing for listing in container.listings()[before:])


def test_nothing_but_listings_and_reads_is_asked_of_the_container(container: Place, load: Load) -> None:
    export_in(container).run(MONTH, parts=2)
    before = len(container.requests())
    load(connection_to(container), MONTH)
    assert {method for method, _ in container.requests()[before:]} <= {"GET", "HEAD"}


# Many scopes, and days


def of_scope(resource_id: str | None) -> Callable[[dict], object]:
    return lambda manifest: manifest["exportConfig"].update(resourceId=resource_id)


@pytest.mark.parametrize("told_by", ["resource ID", "folder"])
def test_exports_of_one_name_for_many_subscriptions_are_all_loaded(container: Place, load: Load, told_by: str) -> None:
    """Each by its own fullest, newest run; none takes the place of another's."""
    everything = clean_rows("azure_1_0r2", MONTH)
    scopes = {f"/subscriptions/{n}/providers/x": everything[n::3] for n in range(3)}
    exports = {}
    for number, (scope, rows) in enumerate(scopes.items()):
        directory = f"focus-costs/sub-{number}" if told_by == "folder" else "focus-costs"
        exports[scope] = export_in(container, directory=directory)
        change = of_scope(None if told_by == "folder" else scope)
        for minute in ("01", "02"):
            part = rows if minute == "02" else rows[:1]
            exports[scope].run(MONTH, part, submitted=f"2025-03-21T2{number}:{minute}:00.5Z", change=change)
    loaded = load(connection_to(container), MONTH)
    assert (loaded.staged.rows, loaded.billed) == (len(everything), billed(everything))
    again = everything[:2]
    scope = next(iter(scopes))
    change = of_scope(None if told_by == "folder" else scope.upper())
    exports[scope].run(MONTH, again, submitted="2025-03-22T21:00:00.5Z", change=change)
    expected = [*again, *everything[1::3], *everything[2::3]]
    assert load(connection_to(container), MONTH).billed == billed(expected)


def ending(end: str) -> Callable[[dict], object]:
    return lambda manifest: manifest["runInfo"].update(endDate=end)


@pytest.mark.parametrize(
    ("former", "latter"),
    [
        ("2025-03-20T23:59:59.9999999", "2025-03-20T00:00:00"),
        ("2025-03-20T00:00:00", "2025-03-20T23:59:59"),
        ("2025-03-31T23:59:59Z", "2025-04-01T00:00:00Z"),
        ("2025-04-01T00:00:00Z", "2025-03-31T00:00:00Z"),
    ],
)
def test_runs_over_the_same_days_are_told_by_when_they_were_submitted(
    container: Place, load: Load, former: str, latter: str
) -> None:
    rows = clean_rows("azure_1_0r2", MONTH)
    export = export_in(container)
    export.run(MONTH, rows, submitted="2025-03-21T01:00:00.5Z", change=ending(former))
    export.run(MONTH, rows[:3], submitted="2025-03-21T02:00:00.5Z", change=ending(latter))
    assert load(connection_to(container), MONTH).billed == billed(rows[:3])


@pytest.mark.parametrize("start", ["2025-02-28T23:00:00Z", "2025-02-28T10:00:00Z", "2025-03-01T08:00:00Z"])
def test_a_run_that_starts_at_midnight_elsewhere_is_of_its_month(container: Place, load: Load, start: str) -> None:
    rows = clean_rows("azure_1_0r2", MONTH)
    export_in(container).run(MONTH, rows, change=lambda manifest: manifest["runInfo"].update(startDate=start))
    assert load(connection_to(container), MONTH).billed == billed(rows)
