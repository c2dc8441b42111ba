"""Judging a month: each rule is broken once, on purpose, and has to be found."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from focus_pipeline.focus.rules import ROW, Rule, compile_predicates, predicates, rules
from focus_pipeline.focus.specification import rule_data
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.records import accepted, landed
from focus_pipeline.records.accepted import accepted_delivery, held_back
from focus_pipeline.records.landed import Current
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline_tests.conftest import CONNECTION, LoadedMonth, LoadMonth
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_charges
from focus_pipeline_tests.month_files import MONTH, Row, focus_row, without, write_csv, write_parquet

FAULTS = {
    "values_readable": "unreadable",
    "not_null": "",
    "allowed_values": "Bogus",
    "currency_codes": "XYZ",
}

# Those of rules.toml have planted faults of their own, see test_planted_faults.py.
RULES_OF_COLUMNS = [rule for rule in rules().values() if rule.kind == ROW and rule.id not in rule_data()["rules"]]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES_OF_COLUMNS, ids=lambda rule: rule.id)
def test_a_bad_value_among_good_ones_is_found_by_its_rule(rule: Rule, folder: Path, load_month: LoadMonth) -> None:
    """A check that checks nothing would pass."""
    variant = next(v for v in ("complete_1_4", "complete_1_3") if rule.column in VARIANTS[v].columns)
    charges = clean_charges(variant)
    line = list(charges).index("usage") + 2
    charges["usage"] |= {rule.column: FAULTS[rule.check]}
    write_csv(folder / "a.csv", charges.values())
    month = load_month(folder, month_rule=False)
    failure = month.failures[rule.id]
    assert (failure.column, failure.violations, failure.rows) == (rule.column, 1, len(charges))
    (example,) = failure.examples
    assert (example["file"], example["line"]) == (f"{MONTH}/a.csv", line)
    assert not month.check(rule.check).passed
    assert month.verdict.accepted is (rule.level != "contract")


def test_rows_of_a_file_without_the_column_do_not_break_its_rule(folder: Path, load_month: LoadMonth) -> None:
    """That it is absent is said of the file."""
    write_csv(folder / "with.csv", [focus_row(), focus_row(ChargeFrequency="")])
    write_csv(folder / "without.csv", [without(focus_row(), "ChargeFrequency")] * 3)
    month = load_month(folder)
    failure = month.failures["ChargeFrequency-C-002-M"]
    assert (failure.violations, failure.rows) == (1, 2)
    assert [(example["file"], example["line"]) for example in failure.examples] == [(f"{MONTH}/with.csv", 3)]
    assert f"{MONTH}/without.csv has no column ChargeFrequency" in month.remarks


def test_the_kept_predicates_are_those_that_are_compiled_anew(compiled_rules: Path) -> None:
    assert predicates(compiled_rules) == compile_predicates()


# The same bytes under two names


@pytest.mark.parametrize("write", [write_csv, write_parquet], ids=["csv", "parquet"])
def test_the_same_bytes_under_two_names_are_counted_once_and_named(
    folder: Path, load_month: LoadMonth, write: Callable[[Path, list[Row]], None]
) -> None:
    suffix = ".csv" if write is write_csv else ".parquet"
    for name in ("e", "e (1)", "f", "of the same size", "reissued"):
        cost = {"f": "2", "of the same size": "7.25"}.get(name, "1.25")
        write(folder / f"{name}{suffix}", [focus_row(BilledCost=cost, ResourceId=f"r{n}") for n in range(3)])
    month = load_month(folder)
    assert (month.staged.rows, month.rejections) == (9, {})
    assert [total.billed_cost for total in month.staged.totals] == ["31.500000000000000000"]
    (failure,) = [f for f in month.check("consistency").failures if f.rule == "repeated-file"]
    assert (failure.severity, failure.violations) == ("WARN", 2)
    assert f"{MONTH}/e{suffix} as {MONTH}/e (1){suffix}" in failure.sentence
    assert f"{MONTH}/reissued{suffix} as {MONTH}/e (1){suffix}" in failure.sentence
    assert month.verdict.accepted


def test_equal_rows_in_files_that_differ_are_all_counted(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "a.csv", [focus_row()])
    write_csv(folder / "b.csv", [focus_row(), focus_row()])
    (folder / "c.csv").write_bytes((folder / "a.csv").read_bytes() + b"\n")
    (folder / "d.csv").write_bytes(b"")
    (folder / "e.csv").write_bytes(b"")
    month = load_month(folder)
    assert month.staged.rows == 4
    assert [file.same_as for file in month.staged.files] == [""] * 5


def test_a_bad_file_that_is_there_twice_is_rejected_once(folder: Path, load_month: LoadMonth) -> None:
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(b"no,header\n1\n")
    write_csv(folder / "good.csv", [focus_row()])
    month = load_month(folder)
    assert list(month.rejections) == ["a.csv"]
    assert month.staged.files[1].fate == f"left out, for {MONTH}/a.csv holds the same bytes"


# Two runs at once


@pytest.mark.parametrize("record", ["accepted", "current"])
def test_an_older_delivery_never_takes_the_place_of_a_newer_one_that_is_recorded_meanwhile(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch, record: str
) -> None:
    """The older run has read that there is none yet when the newer one comes to write its own."""
    write_csv(folder / "bill.csv", [focus_row()])
    month = load_month(folder)
    # What the clock said is of no account.
    older = replace(month.staged, token="older", order=7, listed_at="2025-04-02T00:00:00+00:00")
    newer = replace(month.staged, token="newer", order=8, listed_at="2025-04-01T00:00:00+00:00")
    kept = month.data_dir.staged(older.connection, older.month)
    (kept / "accepted.json").unlink()
    module = accepted if record == "accepted" else landed
    read, has_read = module.read_record, threading.Event()

    def slowly(path: Path, kind: type) -> object:
        content = read(path, kind)
        if path.name == f"{record}.json" and threading.current_thread().name == "older":
            has_read.set()
            time.sleep(0.3)
        return content

    monkeypatch.setattr(module, "read_record", slowly)

    def note(delivery: StagedMonth) -> None:
        if record == "accepted":
            accepted.accept(delivery, month.data_dir)
        else:
            current = Current(token=delivery.token, listed_at=delivery.listed_at, order=delivery.order)
            landed.make_current(kept, current)

    first = threading.Thread(target=note, args=(older,), name="older")
    first.start()
    assert has_read.wait(5)
    note(newer)
    first.join()
    assert read(kept / f"{record}.json", Current).token == "newer"


# Headers as their owners write them, beside columns that bills have, too.
OTHER_DATASETS = {
    "a FOCUS Contract Commitment dataset": "BillingCurrency,ContractCommitmentCategory,ContractCommitmentCost,"
    "ContractCommitmentId,ContractCommitmentPeriodEnd,ContractCommitmentPeriodStart,ContractId",
    "a FOCUS Invoice Detail dataset": "BilledCost,BillingAccountId,BillingCurrency,BillingPeriodEnd,BillingPeriodStart,"
    "ChargeCategory,InvoiceDetailId,InvoiceId,InvoiceIssueDate,InvoiceIssuerName,PaymentTerms",
    "a FOCUS Billing Period dataset": "BillingPeriodStart,BillingPeriodEnd,BillingPeriodStatus,InvoiceIssuerName",
    "an AWS Cost and Usage Report (CUR)": "identity/LineItemId,bill/PayerAccountId,lineItem/UsageAccountId,"
    "lineItem/UnblendedCost,pricing/term",
    "an Azure actual or amortised cost export": "InvoiceSectionName,AccountName,SubscriptionId,MeterId,Quantity,"
    "CostInBillingCurrency,ChargeType,PricingModel",
    "an Azure usage details export": "SubscriptionGuid,ResourceGroup,MeterId,UsageQuantity,PreTaxCost,Currency",
    "an Azure price sheet": "MeterId,MeterName,UnitPrice,BasePrice,PriceType,Term",
    "an Azure reservation details export": "InstanceId,ReservationId,ReservationOrderId,ReservedHours,UsedHours",
    "a Google Cloud usage cost export": "billing_account_id,service,sku,usage_start_time,cost,currency,invoice",
    "an Oracle cost or usage report": "lineItem/referenceNo,lineItem/tenantId,lineItem/intervalUsageStart,cost/myCost",
}


@pytest.mark.parametrize(("what", "header"), OTHER_DATASETS.items())
def test_files_of_other_datasets_are_named_and_left_out(
    folder: Path, load_month: LoadMonth, what: str, header: str
) -> None:
    write_csv(folder / "bill.csv", [focus_row()])
    columns = header.swapcase() if "FOCUS" in what else header
    (folder / "beside.csv").write_text(f"{columns}\n{','.join('x' for _ in header.split(','))}\n")
    month = load_month(folder)
    assert month.verdict.accepted
    assert (month.staged.rows, month.rejections) == (1, {})
    beside, bill = month.staged.files
    assert (beside.other, bill.other) == (what, "")
    assert all(check.passed for check in month.verdict.checks if check.name in ("required_columns", "files_readable"))
    (note,) = [failure for failure in month.check("required_columns").failures if failure.rule == "other-dataset"]
    assert note.severity == "NOTE"
    assert f"{MONTH}/beside.csv is {what}" in note.sentence


def test_a_month_of_other_datasets_alone_is_not_accepted(folder: Path, load_month: LoadMonth) -> None:
    """Whoever connects a folder of CUR files has not loaded a bill of nothing."""
    for name, header in zip("ab", OTHER_DATASETS.values(), strict=False):
        (folder / f"{name}.csv").write_text(f"{header}\n")
    month = load_month(folder)
    assert not month.verdict.accepted
    summary = month.check("accepted").summary
    assert f"none of the 2 files of {MONTH} can be loaded" in summary
    assert f"{MONTH}/a.csv is a FOCUS Contract Commitment dataset" in summary


def test_a_copy_of_a_file_that_is_rejected_makes_no_month_of_nothing(folder: Path, load_month: LoadMonth) -> None:
    for name in ("a", "b"):
        write_csv(folder / f"{name}.csv", [without(focus_row(), "BilledCost")])
    month = load_month(folder)
    assert [bool(file.same_as) for file in month.staged.files] == [False, True]
    assert not month.verdict.accepted


def test_an_older_delivery_is_not_held_back_for_what_the_newer_one_has_gained(
    folder: Path, load_month: LoadMonth
) -> None:
    """A run that began earlier ends later: nothing of the month goes by it, and nobody is asked anything."""
    write_csv(folder / "a.csv", [focus_row()])
    older = load_month(folder).staged
    write_csv(folder / "a.csv", [focus_row(ResourceId=f"r{n}") for n in range(9)])
    month = load_month(folder)
    assert judge(older, month.data_dir, month_rule=True).accepted
    assert held_back(CONNECTION, MONTH, older.token, month.data_dir) == ""
    assert accepted_delivery(CONNECTION, MONTH, month.data_dir).token == month.staged.token


# Exactness


def test_large_costs_reconcile_to_the_last_decimal(folder: Path, load_month: LoadMonth) -> None:
    """Of more digits than Python's decimals keep when they are added up: of two providers in a file, and two files."""
    costs = {
        "BilledCost": "1234567890123456789.123456789012345678",
        "EffectiveCost": "987654321098765432.000000000000000001",
    }
    write_csv(folder / "a.csv", [focus_row(**costs), focus_row(**costs, ProviderName="Internal")])
    write_csv(folder / "b.csv", [focus_row(**costs)])
    month = load_month(folder)
    assert month.check("reconciliation").passed
    assert [(file.billed_cost, file.effective_cost) for file in month.staged.files] == [
        ({"USD": "2469135780246913578.246913578024691356"}, {"USD": "1975308642197530864.000000000000000002"}),
        ({"USD": costs["BilledCost"]}, {"USD": costs["EffectiveCost"]}),
    ]


# Rows that are alike, and gaps of providers


@pytest.mark.parametrize("column", ["ResourceName", "ListCost", "x_OrderNumber", "BillingPeriodEnd"])
def test_rows_that_differ_in_any_column_are_not_called_repeated(
    folder: Path, load_month: LoadMonth, column: str
) -> None:
    rows = [{"ResourceName": "x", "x_OrderNumber": "1"} | focus_row() for _ in range(2)]
    write_csv(folder / "a.csv", rows)
    assert load_month(folder).failures["repeated-row"].violations == 1
    other = "2025-03-31T00:00:00Z" if column.endswith("End") else "2"
    write_csv(folder / "a.csv", [rows[0], rows[1] | {column: other}])
    assert "repeated-row" not in load_month(folder).failures


def gaps(month: LoadedMonth, column: str) -> dict[str | None, int]:
    """Known gap that accounts for what a column breaks, None for what none does -> how many violations."""
    failures = [f for check in month.verdict.checks[1:] for f in check.failures if f.column == column]
    return {failure.gap: failure.violations for failure in failures}


def test_a_known_gap_is_of_the_rows_of_its_provider(folder: Path, load_month: LoadMonth) -> None:
    """PublisherName may be empty in AWS's exports, and in nobody else's."""
    rows = [focus_row(ProviderName=name, PublisherName="") for name in ("AWS", "Equinix", "AWS")]
    write_csv(folder / "a.csv", rows)
    assert gaps(load_month(folder), "PublisherName") == {None: 1, "AWS 1.0": 2}


def test_a_known_gap_is_of_the_versions_that_have_it(folder: Path, load_month: LoadMonth) -> None:
    """Google's view of FOCUS 1.0 writes categories as it likes; its export of 1.2 has no reason to."""
    write_csv(folder / "a.csv", [focus_row(ProviderName="Google Cloud", ServiceCategory="Gardening")])
    assert gaps(load_month(folder, focus_version="1.0"), "ServiceCategory") == {"Google Cloud 1.0": 1}
    assert gaps(load_month(folder, focus_version="1.2"), "ServiceCategory") == {None: 1}


def test_a_known_gap_of_a_whole_file_is_of_one_with_rows_of_its_provider_alone(
    folder: Path, load_month: LoadMonth
) -> None:
    """Google's exports have no BillingAccountName; a file that somebody has put together of two providers' has to."""
    of_google, other = (
        without(focus_row(ProviderName=name), "BillingAccountName") for name in ("Google Cloud", "Equinix")
    )
    write_csv(folder / "a.csv", [of_google])
    assert gaps(load_month(folder), "BillingAccountName") == {"Google Cloud 1.0": 1}
    write_csv(folder / "a.csv", [of_google, other])
    assert gaps(load_month(folder), "BillingAccountName") == {None: 1}
