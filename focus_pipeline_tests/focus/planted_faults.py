"""Faults to plant into a clean month, one at a time: for each rule of FOCUS, at least one way to break it.

Rules have the ids of the official requirements model 1.2. Where that has no id of its own, a "/" and a word tell two
halves of a rule apart, and what came with 1.3 has the id of that model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from focus_pipeline_tests.fakes.clean_months import clean_charges

AWS = "aws_1_2"
COMPLETE = "complete_1_4"
COMPLETE_1_3 = "complete_1_3"

# FOCUS has no id of a row and no rule against two alike; that a file came twice looks like this. It is a rule of ours.
REPEATED_ROW = "repeated-row"


@dataclass(frozen=True)
class Fault:
    """One fault in the clean month of `variant`, March 2025, and the rule that it breaks."""

    rule: str
    variant: str
    # Columns of the row set to other text; None: to nothing.
    change: Mapping[str, str | None]
    # The clean row that is changed; "" where the fault is in the header.
    row: str
    text: str
    # Rules that cannot but be broken as well; a value that nobody can read is null to them.
    also: tuple[str, ...] = ()
    # Faults of the header: columns left out, columns added (with the same value on each row), columns put first.
    drop: tuple[str, ...] = ()
    add: Mapping[str, str] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    # How often the row is there.
    copies: int = 1


def faulty_charges(fault: Fault) -> dict[str, dict[str, str]]:
    """The clean rows by name, with the fault; further copies of a row have a number behind the name."""
    charges = clean_charges(fault.variant)
    if fault.row:
        changed = charges[fault.row] | {name: value or "" for name, value in fault.change.items()}
        charges |= {fault.row: changed}
        charges |= {f"{fault.row} {number}": dict(changed) for number in range(2, fault.copies + 1)}
    return {key: _with_header(fault, row) for key, row in charges.items()}


def faulty_rows(fault: Fault) -> list[dict[str, str]]:
    """The rows of `faulty_charges`."""
    return list(faulty_charges(fault).values())


def _with_header(fault: Fault, row: dict[str, str]) -> dict[str, str]:
    row = {name: value for name, value in (row | dict(fault.add)).items() if name not in fault.drop}
    return {name: row[name] for name in fault.first} | row


ALLOWED_VALUES = (
    Fault("ChargeCategory-C-003-M", AWS, {"ChargeCategory": "Bogus"}, "adjustment", "unknown charge category"),
    Fault("ChargeClass-C-005-C", AWS, {"ChargeClass": "Refund"}, "credit", "unknown charge class"),
    Fault("ChargeFrequency-C-003-M", AWS, {"ChargeFrequency": "Monthly"}, "usage", "unknown charge frequency"),
    Fault("PricingCategory-C-007-M", AWS, {"PricingCategory": "Foo"}, "usage", "unknown pricing category"),
    Fault(
        "CommitmentDiscountCategory-C-005-M", AWS, {"CommitmentDiscountCategory": "Money"}, "used",
        "unknown commitment category",
    ),
    Fault(
        "CommitmentDiscountStatus-C-005-M", AWS, {"CommitmentDiscountStatus": "Bogus"}, "used",
        "unknown commitment status",
    ),
    Fault(
        "CapacityReservationStatus-C-006-M", COMPLETE, {"CapacityReservationStatus": "Idle"}, "reserved",
        "unknown reservation status",
    ),
    Fault(
        "ServiceCategory-C-003-M", AWS, {"ServiceCategory": "Cyber"}, "marketplace", "unknown service category",
        also=("ServiceSubcategory-C-004-M",),
    ),
    Fault(
        "ServiceSubcategory-C-003-M", AWS, {"ServiceSubcategory": "Scanning"}, "marketplace",
        "unknown service subcategory", also=("ServiceSubcategory-C-004-M",),
    ),
)  # fmt: skip

CATEGORIES = (
    Fault(
        "ChargeFrequency-C-004-C", AWS, {"ChargeFrequency": "Usage-Based"}, "marketplace", "usage-based purchase"
    ),
    Fault("PricingCategory-C-009-C", AWS, {"PricingCategory": "Standard"}, "used", "covered usage priced as Standard"),
    Fault("PricingCategory-C-009-C", AWS, {"PricingCategory": "Other"}, "unused", "unused commitment priced as Other"),
    Fault(
        "PricingCategory-C-009-C/Purchase", AWS, {"PricingCategory": "Committed"}, "purchase",
        "purchase of a commitment priced as Committed",
    ),
    Fault("PricingCategory-C-003-C", AWS, {"PricingCategory": "Standard"}, "tax", "tax with pricing category"),
    Fault("PricingCategory-C-004-C", AWS, {"PricingCategory": None}, "usage", "usage without pricing category"),
    Fault("PricingCategory-C-004-C", AWS, {"PricingCategory": None}, "purchase", "purchase without pricing category"),
    Fault("PricingQuantity-C-004-C", AWS, {"PricingQuantity": "1", "PricingUnit": "Units"}, "tax", "tax with quantity"),
    Fault("PricingQuantity-C-005-C", AWS, {"PricingQuantity": None, "PricingUnit": None}, "usage", "no quantity"),
    Fault("ListUnitPrice-C-004-C", AWS, {"ListUnitPrice": "9.87"}, "tax", "tax with list price"),
    Fault("ListUnitPrice-C-005-C", AWS, {"ListUnitPrice": None}, "usage", "usage without list price"),
    Fault("ListUnitPrice-C-005-C", AWS, {"ListUnitPrice": None}, "marketplace", "purchase without list price"),
    Fault("ContractedUnitPrice-C-005-C", AWS, {"ContractedUnitPrice": "9.87"}, "tax", "tax with contracted price"),
    Fault("ContractedUnitPrice-C-006-C", AWS, {"ContractedUnitPrice": None}, "usage", "usage without contracted price"),
    Fault("SkuId-C-004-C", AWS, {"SkuId": "SKU-vat", "SkuMeter": "VAT"}, "tax", "tax with SKU"),
    Fault("SkuId-C-005-C", AWS, {"SkuId": None, "SkuMeter": None}, "usage", "usage without SKU"),
    Fault("SkuId-C-005-C", COMPLETE, {"SkuId": None, "SkuMeter": None}, "purchase", "purchase without SKU"),
    Fault("SkuPriceId-C-004-C", AWS, {"SkuPriceId": "SKU-vat.P1"}, "tax", "tax with SKU price"),
    Fault("SkuPriceId-C-005-C", AWS, {"SkuPriceId": None, "SkuPriceDetails": None}, "usage", "usage without SKU price"),
    Fault("PricingUnit-C-005-C", AWS, {"PricingUnit": "Hours"}, "tax", "pricing unit without quantity"),
    Fault("PricingUnit-C-006-C", AWS, {"PricingUnit": None}, "usage", "quantity without pricing unit"),
    Fault(
        "ConsumedQuantity-C-004-C", AWS, {"ConsumedQuantity": "3", "ConsumedUnit": "Units"}, "marketplace",
        "purchase that consumes",
    ),
    Fault(
        "ConsumedQuantity-C-004-C/Unused", AWS, {"ConsumedQuantity": "720", "ConsumedUnit": "Hours"}, "unused",
        "unused commitment that consumes",
    ),
    Fault(
        "ConsumedQuantity-C-006-C", AWS, {"ConsumedQuantity": None, "ConsumedUnit": None}, "usage",
        "usage that consumes nothing",
    ),
    Fault("ConsumedUnit-C-005-C", AWS, {"ConsumedUnit": "Units"}, "marketplace", "consumed unit without quantity"),
    Fault("ConsumedUnit-C-006-C", COMPLETE, {"ConsumedUnit": None}, "usage", "consumed quantity without unit"),
)  # fmt: skip

MONEY = (
    Fault(
        "ListUnitPrice-C-008-M", AWS, {"ListUnitPrice": "-0.0832", "ListCost": "-1.9968"}, "usage",
        "negative list price", also=("PricingCurrencyListUnitPrice-C-009-M",),
    ),
    Fault(
        "ContractedUnitPrice-C-009-C", AWS, {"ContractedUnitPrice": "-0.0791", "ContractedCost": "-1.8984"}, "usage",
        "negative contracted price", also=("PricingCurrencyContractedUnitPrice-C-009-C",),
    ),
    Fault("ListCost-C-009-C", AWS, {"ListCost": "2.0000000000"}, "usage", "list cost rounded to cents"),
    Fault("ListCost-C-009-C", COMPLETE, {"ListUnitPrice": "83.2"}, "usage", "list price of a thousand units"),
    Fault(
        "ContractedUnitPrice-C-011-C", AWS, {"ContractedCost": "1.9968000000"}, "usage",
        "contracted cost at the list price",
    ),
    Fault(
        "EffectiveCost-C-005-C", AWS, {"EffectiveCost": "38.688"}, "purchase", "commitment purchase counted twice",
        also=("PricingCurrencyEffectiveCost-C-006-M",),
    ),
    Fault(
        "PricingCurrencyEffectiveCost-C-005-M", AWS, {"PricingCurrencyEffectiveCost": "38.688"}, "purchase",
        "commitment purchase counted twice in the pricing currency", also=("PricingCurrencyEffectiveCost-C-006-M",),
    ),
    Fault(
        "PricingCurrencyListUnitPrice-C-008-M", AWS, {"PricingCurrencyListUnitPrice": "-1"}, "usage",
        "negative list price in the pricing currency", also=("PricingCurrencyListUnitPrice-C-009-M",),
    ),
    Fault(
        "PricingCurrencyListUnitPrice-C-004-C", AWS, {"PricingCurrencyListUnitPrice": "1"}, "tax",
        "tax with a list price in the pricing currency",
    ),
    Fault(
        "PricingCurrencyListUnitPrice-C-005-C", AWS, {"PricingCurrencyListUnitPrice": None}, "usage",
        "usage without a list price in the pricing currency",
    ),
    Fault(
        "PricingCurrencyContractedUnitPrice-C-008-C", AWS, {"PricingCurrencyContractedUnitPrice": "-1"}, "usage",
        "negative contracted price in the pricing currency", also=("PricingCurrencyContractedUnitPrice-C-009-C",),
    ),
    Fault(
        "PricingCurrencyContractedUnitPrice-C-004-C", AWS, {"PricingCurrencyContractedUnitPrice": "1"}, "tax",
        "tax with a contracted price in the pricing currency",
    ),
    Fault(
        "PricingCurrencyContractedUnitPrice-C-005-C", AWS, {"PricingCurrencyContractedUnitPrice": None}, "usage",
        "usage without a contracted price in the pricing currency",
    ),
    Fault(
        "PricingCurrencyListUnitPrice-C-009-M", AWS, {"PricingCurrencyListUnitPrice": "0.0791"}, "usage",
        "another list price in the same currency",
    ),
    Fault(
        "PricingCurrencyContractedUnitPrice-C-009-C", AWS, {"PricingCurrencyContractedUnitPrice": "0.0832"}, "usage",
        "another contracted price in the same currency",
    ),
    Fault(
        "PricingCurrencyEffectiveCost-C-006-M", AWS, {"PricingCurrencyEffectiveCost": "1.9968"}, "usage",
        "another effective cost in the same currency",
    ),
    Fault("ListCost-C-008-C", AWS, {"ListCost": "-1"}, "credit", "credit with another list cost"),
    Fault("ContractedCost-C-008-C", AWS, {"ContractedCost": "0"}, "credit", "credit without a contracted cost"),
    Fault("EffectiveCost-C-010-C", COMPLETE, {"EffectiveCost": "0"}, "credit", "credit without an effective cost"),
    Fault("BilledCost-C-003-M", AWS, {"BilledCost": None}, "usage", "no billed cost"),
    Fault("EffectiveCost-C-003-M", AWS, {"EffectiveCost": None}, "usage", "no effective cost"),
    Fault("ListCost-C-003-M", AWS, {"ListCost": None}, "usage", "no list cost"),
    Fault("ContractedCost-C-003-M", AWS, {"ContractedCost": None}, "usage", "no contracted cost"),
    Fault("PricingCurrency-C-004-M", AWS, {"PricingCurrency": None}, "usage", "no pricing currency"),
    Fault(
        "PricingCurrencyEffectiveCost-C-003-M", AWS, {"PricingCurrencyEffectiveCost": None}, "usage",
        "no effective cost in the pricing currency",
    ),
    Fault("BillingCurrency-C-004-M", AWS, {"BillingCurrency": None}, "usage", "no billing currency"),
    Fault(
        "BillingCurrency-C-006-M", AWS, {"BillingCurrency": "XYZ"}, "usage", "currency that is not of ISO 4217",
        also=("BillingCurrency-C-005-M",),
    ),
    Fault("BillingCurrency-C-006-M", AWS, {"BillingCurrency": "usd"}, "usage", "currency in lower case"),
    Fault(
        "BillingCurrency-C-006-M", COMPLETE, {"BillingCurrency": "Credits"}, "usage", "bill in virtual currency",
        also=("BillingCurrency-C-005-M",),
    ),
)  # fmt: skip

COMMITMENTS = (
    Fault(
        "CommitmentDiscountCategory-C-003-C", AWS, {"CommitmentDiscountCategory": "Usage"}, "usage",
        "commitment category without commitment",
    ),
    Fault(
        "CommitmentDiscountCategory-C-004-C", AWS, {"CommitmentDiscountCategory": None}, "used",
        "commitment without category",
    ),
    Fault(
        "CommitmentDiscountType-C-004-C", AWS, {"CommitmentDiscountType": "Savings"}, "usage",
        "commitment type without commitment",
    ),
    Fault(
        "CommitmentDiscountType-C-005-C", AWS, {"CommitmentDiscountType": None}, "used", "commitment without type"
    ),
    Fault(
        "CommitmentDiscountName-C-004-C", AWS, {"CommitmentDiscountName": "Savings"}, "usage",
        "commitment name without commitment",
    ),
    Fault(
        "CommitmentDiscountStatus-C-003-C", AWS, {"CommitmentDiscountStatus": "Used"}, "free",
        "commitment status without commitment",
    ),
    Fault(
        "CommitmentDiscountStatus-C-004-C", AWS, {"CommitmentDiscountStatus": None, "PricingCategory": "Standard"},
        "used", "usage of a commitment without status",
    ),
    Fault(
        "CommitmentDiscountStatus-C-004-C", COMPLETE, {"CommitmentDiscountStatus": None}, "used",
        "committed price without status", also=("DiscountHandling-A-014-C",),
    ),
    Fault(
        "CommitmentDiscountQuantity-C-007-C", AWS,
        {"CommitmentDiscountQuantity": "24", "CommitmentDiscountUnit": "Hours"}, "usage",
        "commitment quantity without commitment",
    ),
    Fault(
        "CommitmentDiscountQuantity-C-005-C", AWS,
        {"CommitmentDiscountQuantity": None, "CommitmentDiscountUnit": None}, "used", "commitment without quantity",
    ),
    Fault(
        "CommitmentDiscountQuantity-C-007-C/Category", AWS,
        {"ChargeCategory": "Adjustment", "ChargeFrequency": "One-Time"}, "purchase",
        "commitment quantity of an adjustment",
    ),
    Fault(
        "CommitmentDiscountUnit-C-005-C", AWS, {"CommitmentDiscountUnit": "Hours"}, "usage",
        "commitment unit without quantity",
    ),
    Fault(
        "CommitmentDiscountUnit-C-006-C", AWS, {"CommitmentDiscountUnit": None}, "used",
        "commitment quantity without unit",
    ),
    Fault(
        "CapacityReservationId-C-005-C", COMPLETE,
        {"CapacityReservationId": None, "CapacityReservationStatus": "Unused"}, "reserved",
        "unused reservation without id", also=("CapacityReservationStatus-C-003-C",),
    ),
    Fault(
        "CapacityReservationStatus-C-003-C", AWS, {"CapacityReservationStatus": "Used"}, "usage",
        "reservation status without reservation",
    ),
    Fault(
        "CapacityReservationStatus-C-004-C", COMPLETE, {"CapacityReservationStatus": None}, "reserved",
        "usage of a reservation without status",
    ),
    Fault("DiscountHandling-A-009-C", AWS, {"BilledCost": "1.8984"}, "used", "covered usage that is billed too"),
    Fault(
        "DiscountHandling-A-018-C", AWS,
        {
            "ChargeCategory": "Adjustment", "CommitmentDiscountQuantity": None, "CommitmentDiscountUnit": None,
        },
        "unused", "unused commitment that is not usage", also=("EffectiveCost-C-012-C",),
    ),
    Fault("DiscountHandling-A-019-C", AWS, {"ResourceId": "web-9"}, "unused", "unused commitment on a resource"),
    Fault(
        "DiscountHandling-A-016-C", AWS, {"ResourceId": clean_charges(AWS)["used"]["CommitmentDiscountId"].upper()},
        "used", "usage of a commitment on the commitment",
    ),
    Fault("DiscountHandling-A-012-C", AWS, {"ResourceId": "web-9"}, "purchase", "commitment bought for a resource"),
    Fault("DiscountHandling-A-014-C", AWS, {"PricingCategory": "Committed"}, "usage", "committed price, no commitment"),
)  # fmt: skip

NAMES = (
    Fault("RegionName-C-004-C", AWS, {"RegionName": "EU (Ireland)"}, "tax", "region name without id"),
    Fault("RegionName-C-005-C", AWS, {"RegionName": None}, "usage", "region id without name"),
    Fault("SubAccountName-C-004-C", AWS, {"SubAccountName": "production"}, "tax", "sub account name without id"),
    Fault("SubAccountName-C-005-C", AWS, {"SubAccountName": None}, "usage", "sub account id without name"),
    Fault("SubAccountType-C-004-C", AWS, {"SubAccountType": "Member"}, "tax", "sub account type without id"),
    Fault("SubAccountType-C-005-C", AWS, {"SubAccountType": None}, "usage", "sub account id without type"),
    Fault(
        "BillingAccountType-C-004-C", AWS, {"BillingAccountId": None}, "usage", "billing account type without id",
        also=("BillingAccountId-C-001-M",),
    ),
    Fault("BillingAccountType-C-005-C", AWS, {"BillingAccountType": None}, "usage", "billing account without type"),
    Fault(
        "BillingAccountId-C-001-M", AWS, {"BillingAccountId": None, "BillingAccountType": None}, "usage",
        "no billing account",
    ),
    Fault("ResourceType-C-004-C", AWS, {"ResourceType": "Machine"}, "tax", "resource type without resource"),
    Fault("ResourceType-C-005-C", AWS, {"ResourceType": None}, "usage", "resource without type"),
    Fault("ResourceName-C-004-C", AWS, {"ResourceName": "web-9"}, "tax", "resource name without resource"),
    Fault("SkuMeter-C-004-C", AWS, {"SkuMeter": "Compute Time"}, "credit", "meter without SKU"),
    Fault("SkuMeter-C-005-C", COMPLETE, {"SkuMeter": None}, "usage", "SKU without meter"),
    Fault(
        "SkuPriceDetails-C-004-C", AWS, {"SkuPriceDetails": '{"CoreCount": "2"}'}, "credit",
        "price details without SKU price",
    ),
    Fault("RegionId-C-004-C", AWS, {"RegionId": None, "RegionName": None}, "usage", "zone of no region"),
    Fault("ChargeDescription-C-003-O", AWS, {"ChargeDescription": None}, "usage", "no description"),
    Fault("CAU-ServiceProviderName", COMPLETE, {"ServiceProviderName": None}, "usage", "no service provider"),
    Fault("CAU-ServiceProviderName", COMPLETE_1_3, {"ServiceProviderName": None}, "tax", "no service provider"),
    Fault("InvoiceIssuerName-C-003-M", AWS, {"InvoiceIssuerName": None}, "usage", "no invoice issuer"),
    Fault("ProviderName-C-003-M", AWS, {"ProviderName": None}, "usage", "no provider"),
    Fault("PublisherName-C-003-M", COMPLETE_1_3, {"PublisherName": None}, "usage", "no publisher"),
    Fault("ServiceName-C-003-M", AWS, {"ServiceName": None}, "usage", "no service"),
    Fault("ServiceCategory-C-002-M", AWS, {"ServiceCategory": None}, "usage", "no service category"),
    Fault("ServiceSubcategory-C-002-M", AWS, {"ServiceSubcategory": None}, "usage", "no service subcategory"),
    Fault("ChargeCategory-C-002-M", AWS, {"ChargeCategory": None}, "adjustment", "no charge category"),
    Fault("ChargeFrequency-C-002-M", AWS, {"ChargeFrequency": None}, "usage", "no charge frequency"),
)  # fmt: skip

PERIODS = (
    Fault(
        "ChargePeriodEnd-C-004-M", AWS, {"ChargePeriodEnd": "2025-03-01T00:00:00.000Z"}, "usage",
        "charge ends before it starts",
    ),
    Fault(
        "ChargePeriodEnd-C-004-M", COMPLETE, {"ChargePeriodEnd": "2025-03-02T00:00:00Z"}, "usage",
        "charge ends when it starts",
    ),
    Fault(
        "BillingPeriodEnd-C-004-M", AWS, {"BillingPeriodEnd": "2025-03-31T23:59:59.000Z"}, "usage",
        "billing period with its last second",
    ),
    Fault(
        "BillingPeriodEnd-C-004-M", COMPLETE, {"BillingPeriodEnd": "2025-02-01T00:00:00Z"}, "usage",
        "billing period ends before it starts", also=("BillingPeriodEnd-C-004-M/month",),
    ),
    Fault(
        "BillingPeriodEnd-C-004-M/month", AWS, {"BillingPeriodEnd": "2025-03-31T00:00:00.000Z"}, "usage",
        "billing period ends on the last day",
    ),
    Fault(
        "BillingPeriodStart-C-003-M", AWS, {"BillingPeriodStart": None}, "usage", "no start of the billing period"
    ),
    Fault("BillingPeriodEnd-C-003-M", AWS, {"BillingPeriodEnd": None}, "usage", "no end of the billing period"),
    Fault("ChargePeriodStart-C-003-M", AWS, {"ChargePeriodStart": None}, "usage", "no start of the charge period"),
    Fault("ChargePeriodEnd-C-003-M", AWS, {"ChargePeriodEnd": None}, "usage", "no end of the charge period"),
)  # fmt: skip

DETAILS = '{"Elements": [{"AllocatedRatio": 1}]}'

ALLOCATED = (
    Fault(
        "CAU-AllocatedResourceName-C-004-C", COMPLETE_1_3, {"AllocatedResourceName": "web"}, "usage",
        "name of a workload without id",
    ),
    Fault(
        "CAU-AllocatedResourceName-C-005-C", COMPLETE, {"AllocatedResourceName": None}, "allocated_web",
        "workload without name",
    ),
    Fault(
        "CAU-AllocatedMethodId-C-005-C", COMPLETE, {"AllocatedResourceId": "pod/web", "AllocatedResourceName": "web"},
        "usage", "share of a workload without method",
    ),
    Fault(
        "CAU-AllocatedMethodId-C-005-C/Details", COMPLETE_1_3, {"AllocatedMethodDetails": DETAILS}, "usage",
        "details of no method",
    ),
    Fault(
        "CAU-AllocatedMethodId-C-005-C/Tags", COMPLETE, {"AllocatedTags": '{"workload": "web"}'}, "usage",
        "tags of a workload without method",
    ),
    Fault(
        "CAU-AllocatedMethodDetails-C-006-C", COMPLETE, {"AllocatedMethodDetails": None}, "allocated_web",
        "method without details",
    ),
    Fault(
        "CAU-AllocatedMethodDetailsObject-O-012-M", COMPLETE,
        {"AllocatedMethodDetails": '{"Elements": [{"AllocatedRatio": "a half"}]}'}, "allocated_web",
        "share that is no number",
    ),
    Fault(
        "CAU-AllocatedMethodDetailsObject-O-012-M", COMPLETE_1_3,
        {"AllocatedMethodDetails": '{"Elements": {"AllocatedRatio": 0.6}}'}, "allocated_web", "share in no list",
    ),
    Fault(
        "CAU-AllocatedMethodDetailsObject-O-016-C", COMPLETE,
        {"AllocatedMethodDetails": '{"Elements": [{"AllocatedRatio": 0.6, "UsageQuantity": 14.4}]}'}, "allocated_web",
        "usage that was split, without unit",
    ),
    Fault(
        "CAU-AllocatedMethodDetailsObject-O-009-C", COMPLETE,
        {"AllocatedMethodDetails": '{"Elements": [{"AllocatedRatio": 0.6, "usageUnit": "Hours"}]}'}, "allocated_web",
        "misspelt property of a share",
    ),
)  # fmt: skip

NO_COST = ("BilledCost-C-001-M",)
NO_END = ("ChargePeriodEnd-C-001-M",)
NO_TAGS = ("Tags-type",)

SPELLING = (
    Fault("DateTimeFormat-A-001-M", AWS, {"ChargePeriodEnd": "2025-03-03T01:00:00+01:00"}, "usage", "another zone"),
    Fault("DateTimeFormat-A-002-M", AWS, {"ChargePeriodEnd": "03/03/2025"}, "usage", "American date", NO_END),
    Fault("DateTimeFormat-A-004-M", AWS, {"ChargePeriodEnd": "2025-03-03 00:00:00Z"}, "usage", "space for the T"),
    Fault("DateTimeFormat-A-004-M", COMPLETE, {"ChargePeriodEnd": "2025-03-03"}, "usage", "date without time"),
    Fault("DateTimeFormat-A-005-M", AWS, {"ChargePeriodEnd": "2025-03-03T00:00Z"}, "usage", "no seconds"),
    Fault("DateTimeFormat-A-006-M", AWS, {"ChargePeriodEnd": "2025-03-03T00:00:00"}, "usage", "no Z"),
    Fault("NullHandling-A-002-M", AWS, {"ResourceName": "n/a"}, "usage", "n/a for nothing"),
    Fault("NullHandling-A-002-M", AWS, {"AvailabilityZone": "Unassigned"}, "usage", "Unassigned for nothing"),
    Fault("NullHandling-A-002-M/NULL", AWS, {"AvailabilityZone": "NULL"}, "usage", "NULL for nothing"),
    Fault("NullHandling-A-002-M", AWS, {"SubAccountName": "Not Applicable"}, "usage", "Not Applicable for nothing"),
    Fault("NullHandling-A-002-M", AWS, {"InvoiceId": "-2"}, "usage", "-2 for nothing"),
    Fault("NullHandling-A-002-M", COMPLETE, {"InvoiceId": " "}, "usage", "a space for nothing"),
    Fault("NumericFormat-A-003-M", AWS, {"BilledCost": "NaN"}, "usage", "not a number", NO_COST),
    Fault("NumericFormat-A-004-M", AWS, {"BilledCost": "19/10"}, "usage", "fraction", NO_COST),
    Fault("NumericFormat-A-006-M", AWS, {"BilledCost": "1.8984E+0"}, "usage", "plus sign in the exponent"),
    Fault("NumericFormat-A-007-M", AWS, {"BilledCost": "24*0.0791"}, "usage", "formula", NO_COST),
    Fault("NumericFormat-A-008-M", AWS, {"BilledCost": "$1.8984"}, "usage", "currency sign", NO_COST),
    Fault("NumericFormat-A-009-M", AWS, {"BilledCost": "1,898.40"}, "usage", "thousands separator", NO_COST),
    Fault("NumericFormat-A-009-M", COMPLETE, {"BilledCost": "1,8984"}, "usage", "decimal comma", NO_COST),
    Fault("NumericFormat-A-010-M", AWS, {"BilledCost": "+1.8984"}, "usage", "plus sign"),
    Fault("NumericFormat-A-011-M", AWS, {"BilledCost": "(12.5)"}, "credit", "parentheses for a minus sign", NO_COST),
    Fault("KeyValueFormat-A-001-M", AWS, {"Tags": "team=web"}, "usage", "tags that are not JSON", NO_TAGS),
    Fault("KeyValueFormat-A-001-M", AWS, {"Tags": "{'team': 'web'}"}, "usage", "tags in single quotes"),
    Fault("KeyValueFormat-A-001-M", AWS, {"Tags": '{"team": "web",}'}, "usage", "tags with a comma at their end"),
    Fault("KeyValueFormat-A-001-M", AWS, {"Tags": '{"team": NaN}'}, "usage", "tags with a NaN", NO_TAGS),
    Fault("KeyValueFormat-A-001-M", AWS, {"Tags": '{"team": "web"'}, "usage", "tags that break off", NO_TAGS),
    Fault("KeyValueFormat-A-001-M", AWS, {"Tags": '["team", "web"]'}, "usage", "tags that are an array", NO_TAGS),
    Fault(
        "KeyValueFormat-A-001-M", AWS, {"SkuPriceDetails": '"fast"'}, "usage", "price details that are a text",
        also=("SkuPriceDetails-type",),
    ),
    Fault("KeyValueFormat-A-002-M", AWS, {"Tags": '{"team": "web", "team": "shop"}'}, "usage", "tag key twice"),
    Fault("KeyValueFormat-A-004-M", AWS, {"Tags": '{"team": {"name": "web"}}'}, "usage", "tag that is an object"),
    Fault("KeyValueFormat-A-004-M", AWS, {"Tags": '{"team": ["web"]}'}, "usage", "tag that is an array"),
    Fault(
        "KeyValueFormat-A-004-M", COMPLETE, {"AllocatedTags": '{"workload": {"name": "web"}}'}, "allocated_web",
        "tag of a workload that is an object",
    ),
    Fault("SkuPriceDetails-C-017-C", AWS, {"SkuPriceDetails": '{"Cores": 2}'}, "usage", "property of nobody"),
    Fault("SkuPriceDetails-C-017-C", AWS, {"SkuPriceDetails": '{"coreCount": 2}'}, "usage", "misspelt property"),
    Fault("SkuPriceDetails-C-021-M", AWS, {"SkuPriceDetails": '{"CoreCount": "two"}'}, "usage", "count that is a word"),
    Fault("SkuPriceDetails-C-021-M", AWS, {"SkuPriceDetails": '{"MemorySize": true}'}, "usage", "size that is true"),
    Fault("SkuPriceDetails-C-021-M", AWS, {"SkuPriceDetails": '{"InstanceType": 5}'}, "usage", "type that is a number"),
    Fault(
        "SkuPriceDetails-C-002-O", AWS, {"SkuPriceDetails": '{"x_block_size": "8"}'}, "usage",
        "property of one's own in small letters",
    ),
    Fault(
        "SkuPriceDetails-C-010-C", AWS, {"SkuPriceDetails": '{"x_CoreCount": "2"}'}, "usage",
        "property of FOCUS as one's own",
    ),
    Fault("CurrencyFormat-A-002-C", COMPLETE, {"PricingCurrency": "N/A"}, "usage", "n/a for no pricing currency"),
    Fault("UnitFormat-A-002-O", AWS, {"PricingUnit": "0.5 Hours"}, "usage", "half a unit"),
    Fault("UnitFormat-A-003-M", AWS, {"PricingUnit": "hours"}, "usage", "unit in lower case"),
    Fault("UnitFormat-A-003-M", AWS, {"ConsumedUnit": "gb-months"}, "decimals", "unit in lower case"),
    Fault(
        "UnitFormat-A-003-M", COMPLETE, {"CommitmentDiscountUnit": "HOURS"}, "used", "unit in capitals",
        also=("CommitmentDiscountUnit-C-008-M",),
    ),
)  # fmt: skip

GROUPS = (
    Fault(
        "ServiceName-C-005-C", AWS, {"ServiceName": "Amazon Elastic Compute Cloud"}, "decimals",
        "service in two categories", also=("ServiceName-C-008-C",),
    ),
    Fault("SkuMeter-C-006-O", AWS, {"SkuMeter": "Calls"}, "used", "SKU with two meters"),
    Fault("SkuPriceId-C-008-M", AWS, {"SkuPriceId": "SKU-vm2.P1"}, "decimals", "price of two SKUs"),
    Fault(
        "ServiceSubcategory-C-004-M", AWS, {"ServiceSubcategory": "Virtual Machines"}, "decimals",
        "subcategory under another category",
    ),
    Fault(
        "EffectiveCost-C-012-C", AWS, {"EffectiveCost": "12.34"}, "unused",
        "commitment that is used for less than was paid", also=("PricingCurrencyEffectiveCost-C-006-M",),
    ),
    Fault(
        "CAU-AllocatedMethodDetailsObject-O-014-M", COMPLETE,
        {"AllocatedMethodDetails": '{"Elements": [{"AllocatedRatio": 0.7}]}'},
        "allocated_web", "shares that are more than the whole",
    ),
    Fault(
        "CAU-AllocatedMethodDetailsObject-O-014-M", COMPLETE,
        {"AllocatedMethodDetails": '{"Elements": [{"AllocatedRatio": 60}]}'}, "allocated_web", "share in percent",
    ),
    Fault("BillingCurrency-C-005-M", AWS, {"BillingCurrency": "EUR"}, "tax", "invoice in two currencies"),
    Fault(
        "BillingAccountType-C-006-M", AWS, {"BillingAccountType": "management account"}, "usage",
        "type of billing account in two spellings",
    ),
    Fault(
        "SubAccountType-C-006-M", COMPLETE, {"SubAccountType": "WORKSPACE"}, "usage",
        "type of sub account in two spellings",
    ),
    Fault(REPEATED_ROW, AWS, {}, "usage", "the same row twice", copies=2),
)  # fmt: skip

# A file without a column of the contract is not loaded.
REJECTED = ("required_columns",)

HEADER = (
    Fault("ColumnHandling-A-010-M", AWS, {}, "", "custom column without x_", add={"CostCentre": "4711"}),
    Fault(
        "ColumnHandling-A-001-M",
        AWS,
        {},
        "",
        "column in lower case",
        # The zone is on each row, also on those of no region.
        also=("ColumnHandling-A-012-O", "RegionId-C-004-C"),
        drop=("AvailabilityZone",),
        add={"availabilityzone": "eu-west-1a"},
    ),
    Fault("ColumnHandling-A-011-O", AWS, {}, "", "custom column in small letters", add={"x_cost_centre": "4711"}),
    Fault(
        "ColumnHandling-A-011-O",
        AWS,
        {},
        "",
        "custom column with a long name",
        add={"x_NameOfTheCostCentreThatPaysForWhatTheRowChargesFor": "4711"},
    ),
    Fault("ColumnHandling-A-012-O", AWS, {}, "", "custom column first", first=("x_Operation",)),
    Fault("CostAndUsage-D-006-M", AWS, {}, "", "no column of billed costs", also=REJECTED, drop=("BilledCost",)),
    Fault("CostAndUsage-D-005-M", AWS, {}, "", "no column of billing account names", drop=("BillingAccountName",)),
    Fault(
        "CostAndUsage-D-008-M", AWS, {}, "", "no column of charge categories", also=REJECTED, drop=("ChargeCategory",)
    ),
    Fault("CostAndUsage-D-026-M", AWS, {}, "", "no column of charge classes", drop=("ChargeClass",)),
    Fault("CostAndUsage-D-030-M", AWS, {}, "", "no column of contracted costs", drop=("ContractedCost",)),
    Fault("CostAndUsage-D-036-M", AWS, {}, "", "no column of pricing quantities", drop=("PricingQuantity",)),
    Fault("CostAndUsage-D-040-M", AWS, {}, "", "no column of service categories", drop=("ServiceCategory",)),
    Fault("CostAndUsage-D-027-O", AWS, {}, "", "no column of charge frequencies", drop=("ChargeFrequency",)),
)

# The rule -> the column that is left out, though values of another show that there has to be one.
SHOWN_TO_BE_SUPPORTED = {
    "CostAndUsage-D-019-C": "SubAccountId",
    "CostAndUsage-D-029-C": "SubAccountName",
    "CostAndUsage-D-062-C": "RegionName",
    "CostAndUsage-D-063-C": "RegionId",
    "CostAndUsage-D-011-C": "ConsumedQuantity",
    "CostAndUsage-D-066-C": "ConsumedUnit",
    "CostAndUsage-D-012-C": "CommitmentDiscountName",
    "CostAndUsage-D-013-C": "CommitmentDiscountId",
    "CostAndUsage-D-014-C": "CommitmentDiscountType",
    "CostAndUsage-D-015-C": "CommitmentDiscountUnit",
    "CostAndUsage-D-016-C": "CommitmentDiscountCategory",
    "CostAndUsage-D-017-C": "CommitmentDiscountStatus",
    "CostAndUsage-D-018-C": "CommitmentDiscountQuantity",
    "CostAndUsage-D-020-C": "CapacityReservationStatus",
    "CostAndUsage-D-065-C": "CapacityReservationId",
    "CAU-CostAndUsage-D-070-C": "AllocatedMethodId",
    "CAU-CostAndUsage-D-072-C": "AllocatedResourceName",
}

# What else the lack of a column breaks: unused commitments look like other usage.
BROKEN_AS_WELL = {"CommitmentDiscountStatus": ("ConsumedQuantity-C-006-C",)}

NOT_THERE = tuple(
    Fault(
        rule, COMPLETE, {}, "", f"no column {column}, though there is what it belongs to",
        also=BROKEN_AS_WELL.get(column, ()), drop=(column,),
    )
    for rule, column in SHOWN_TO_BE_SUPPORTED.items()
)  # fmt: skip

FAULTS: tuple[Fault, ...] = (
    *ALLOWED_VALUES,
    *CATEGORIES,
    *MONEY,
    *COMMITMENTS,
    *NAMES,
    *PERIODS,
    *SPELLING,
    *GROUPS,
    *HEADER,
    *ALLOCATED,
    *NOT_THERE,
)
