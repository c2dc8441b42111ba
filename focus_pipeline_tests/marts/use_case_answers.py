"""What queries of docs/use-cases.md should give, worked out in plain Python from the staged rows.

Each function takes all rows and a month, and gives the rows of the query by column, without its LIMIT and in no order.
Shares, rates and averages are exact fractions.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from focus_pipeline_tests.marts.answers import (
    EXACT,
    OWN_PUBLISHERS,
    ZERO,
    Answer,
    Row,
    greatest,
    grouped,
    of_month,
    share,
    total,
)


def sums(rows: Iterable[Row], key: Callable[[Row], dict], *columns: str) -> list[Row]:
    """The rows of each key, with the sums of these columns."""
    return [
        named | {column: total(members, column) for column in columns} for named, members in grouped(list(rows), key)
    ]


def by(*columns: str, **renamed: str | Callable[[Row], object]) -> Callable[[Row], dict]:
    """A key of these columns, and of others under a name of their own or worked out."""
    return lambda row: {
        **{name: row[column] if isinstance(column, str) else column(row) for name, column in renamed.items()},
        **{name: row[name] for name in columns},
    }


def usage(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["ChargeCategory"] == "Usage"]


def no_corrections(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["ChargeClass"] != "Correction"]


def tag(row: Row, key: str) -> str | None:
    return (json.loads(row["Tags"] or "{}").get(key) or "").strip() or None


def day(row: Row) -> date:
    return row["ChargePeriodStart"].date()


def invoices(rows: list[Row], month: str) -> list[Row]:
    key = by("InvoiceIssuerName", "InvoiceId", "BillingAccountId", "BillingCurrency")
    return [
        {
            **named,
            "Tax": total((row for row in members if row["ChargeCategory"] == "Tax"), "BilledCost"),
            "Credit": total((row for row in members if row["ChargeCategory"] == "Credit"), "BilledCost"),
            "BilledCost": total(members, "BilledCost"),
        }
        for named, members in grouped(of_month(rows, month), key)
    ]


def service_charges(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "BillingAccountId", "ServiceName", "BillingCurrency")
    return sums(of_month(rows, month), key, "BilledCost")


def parties(rows: list[Row], month: str) -> list[Row]:
    key = by("InvoiceIssuerName", "ServiceProviderName", "HostProviderName", "BillingCurrency")
    return sums(of_month(rows, month), key, "BilledCost", "EffectiveCost")


def corrections_by_sub_account(rows: list[Row], month: str) -> list[Row]:
    corrections = [row for row in of_month(rows, month) if row["ChargeClass"] == "Correction"]
    key = by("SubAccountId", "ServiceName", "BillingCurrency", Provider="ServiceProviderName")
    return sums(corrections, key, "BilledCost")


def marketplace(rows: list[Row], month: str) -> list[Row]:
    def is_of_another_seller(row: Row) -> bool:
        own = {row["ServiceProviderName"], row["InvoiceIssuerName"], *OWN_PUBLISHERS}
        return row["ChargeCategory"] != "Credit" and row["BilledCost"] >= 0 and row["PublisherName"] not in own

    key = by("InvoiceIssuerName", "BillingCurrency", Month="x_Month", Seller="PublisherName")
    return sums(no_corrections(filter(is_of_another_seller, rows)), key, "EffectiveCost")


def tag_coverage(rows: list[Row], month: str) -> list[Row]:
    answer = []
    for key in ("team", "environment"):
        for named, members in grouped(of_month(rows, month), by("BillingCurrency")):
            cost = total(members, "EffectiveCost")
            tagged = total((row for row in members if tag(row, key)), "EffectiveCost")
            answer.append(
                {
                    "TagKey": key,
                    **named,
                    "EffectiveCost": cost,
                    "TaggedCost": tagged,
                    "TaggedShare": share(tagged, cost),
                }
            )
    return answer


def applications(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "BillingAccountId", "BillingCurrency", Application=lambda row: tag(row, "team"))
    return sums(of_month(rows, month), key, "BilledCost")


def one_application(rows: list[Row], month: str) -> list[Row]:
    of_shop = [row for row in rows if tag(row, "team") == "shop"]
    return sums(of_shop, by("ServiceName", "BillingCurrency", Month="x_Month"), "EffectiveCost")


BUDGETS = {("222200001111", "USD"): 16000, ("222200003333", "USD"): 9000, ("acme-data", "EUR"): 1000}


def budgets(rows: list[Row], month: str) -> list[Row]:
    answer = []
    for (account, currency), budget in BUDGETS.items():
        billed = total(
            (
                row
                for row in no_corrections(of_month(rows, month))
                if (row["SubAccountId"], row["BillingCurrency"]) == (account, currency)
            ),
            "BilledCost",
        )
        answer.append(
            {
                "SubAccountId": account,
                "BillingCurrency": currency,
                "Budget": budget,
                "BilledCost": billed,
                "Remaining": EXACT.subtract(Decimal(budget), billed),
            }
        )
    return answer


def year_to_date(rows: list[Row], key: Callable[[Row], dict]) -> list[Row]:
    months = sums(rows, key, "BilledCost")

    def so_far(row: Row) -> Decimal:
        same = [
            one
            for one in months
            if one["Month"] <= row["Month"]
            and one["Month"][:4] == row["Month"][:4]
            and all(one[name] == row[name] for name in row if name not in ("Month", "BilledCost"))
        ]
        return total(same, "BilledCost")

    return [row | {"YearToDate": so_far(row)} for row in months]


def billed_by_provider(rows: list[Row], month: str) -> list[Row]:
    return year_to_date(rows, by("BillingCurrency", Month="x_Month", Provider="ServiceProviderName"))


def billed_by_application(rows: list[Row], month: str) -> list[Row]:
    return year_to_date(rows, by("BillingCurrency", Month="x_Month", Application=lambda row: tag(row, "team")))


def line(points: dict[int, Decimal]) -> tuple[Fraction, Fraction] | tuple[None, None]:
    """Slope, and value at 0, of the least squares; none of a single point."""
    if len(points) < 2:
        return None, None
    count, xs = len(points), sum(points)
    ys = sum((Fraction(y) for y in points.values()), Fraction())
    slope = (count * sum(x * Fraction(y) for x, y in points.items()) - xs * ys) / (
        count * sum(x * x for x in points) - xs * xs
    )
    return slope, (ys - slope * xs) / count


def months_after(month: str, first: str) -> int:
    """How many months `first` is after `month`; before it, they are negative."""
    (year, number), (first_year, first_number) = (map(int, one.split("-")) for one in (month, first))
    return (first_year - year) * 12 + first_number - number


def trend(rows: list[Row], month: str) -> list[Row]:
    answer = []
    key = by("ServiceName", "BillingCurrency", Provider="ServiceProviderName")
    for named, members in grouped([row for row in rows if row["x_Month"] <= month], key):
        points = {
            months_after(month, of["x_Month"]): total(some, "EffectiveCost")
            for of, some in grouped(members, by("x_Month"))
        }
        slope, last = line(points)
        next_month = None if slope is None else last + slope
        answer.append({**named, "Months": len(points), "ChangePerMonth": slope, "NextMonth": next_month})
    return answer


def cash_flow(rows: list[Row], month: str) -> list[Row]:
    answer = []
    key = by("ProviderName", "ServiceName", "BillingCurrency")
    for named, members in grouped([row for row in rows if row["x_Month"] <= month], key):
        repeated = [row for row in members if row["ChargeFrequency"] != "One-Time"]
        once = [row for row in members if row["ChargeFrequency"] == "One-Time"]
        points = {
            months_after(month, of): total((row for row in repeated if row["x_Month"] == of), "BilledCost")
            for of in {row["x_Month"] for row in members}
        }
        slope, last = line(points)
        answer.append(
            {
                **named,
                "Months": len(points),
                "RepeatedCost": total(repeated, "BilledCost"),
                "OneTimeCost": total(once, "BilledCost"),
                "NextMonth": None if slope is None else last + slope,
            }
        )
    return answer


def rates(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "ServiceName", "RegionId", "PricingUnit", "BillingCurrency", Month="x_Month")
    metered = [row for row in usage(rows) if row["PricingQuantity"] is not None]
    return [
        row | {"Rate": share(row["EffectiveCost"], row["PricingQuantity"])}
        for row in sums(metered, key, "PricingQuantity", "EffectiveCost")
    ]


def unusual_days(columns: tuple[str, ...], factor: str) -> Answer:
    def answer(rows: list[Row], month: str) -> list[Row]:
        of_days = [
            row
            for row in no_corrections(usage(rows))
            if row["ChargePeriodEnd"] - row["ChargePeriodStart"] <= timedelta(days=1)
        ]
        costs: dict[tuple, dict[date, Decimal]] = defaultdict(dict)
        for named, members in grouped(of_days, by(*columns, Day=day)):
            costs[tuple(named[column] for column in columns)][named["Day"]] = total(members, "EffectiveCost")
        found = []
        for key, of_key in costs.items():
            for one, cost in of_key.items():
                before = [of_key[one - timedelta(weeks=n)] for n in (1, 2, 3, 4) if one - timedelta(weeks=n) in of_key]
                if f"{one:%Y-%m}" != month or len(before) < 3:
                    continue
                usual = sum(map(Fraction, before)) / len(before)
                if Fraction(cost) > Fraction(factor) * usual:
                    found.append(
                        {
                            "Day": one,
                            **dict(zip(columns, key, strict=True)),
                            "EffectiveCost": cost,
                            "UsualCost": usual,
                        }
                    )
        return found

    return answer


def changed_use(rows: list[Row], month: str) -> list[Row]:
    before = f"{datetime.strptime(month, '%Y-%m') - timedelta(days=1):%Y-%m}"
    metered = [row for row in usage(rows) if row["ConsumedQuantity"] is not None and row["x_Month"] in (before, month)]
    answer = []
    for named, members in grouped(metered, by("ProviderName", "ServiceName", "ResourceId", "SkuId", "ConsumedUnit")):
        former, now = (total(of_month(members, one), "ConsumedQuantity") for one in (before, month))
        answer.append({**named, "QuantityBefore": former, "Quantity": now, "Change": EXACT.subtract(now, former)})
    return answer


def service_in_sub_account(rows: list[Row], month: str) -> list[Row]:
    of_account = [row for row in of_month(rows, month) if row["SubAccountId"] == "222200001111"]
    key = by("ServiceName", "BillingCurrency", Provider="ServiceProviderName")
    return sums(of_account, key, "EffectiveCost")


def categories(rows: list[Row], month: str) -> list[Row]:
    key = by("ServiceCategory", "BillingCurrency", Month="x_Month", Provider="ServiceProviderName")
    return sums(rows, key, "BilledCost")


def skus(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "SkuId", "SkuPriceId", "PricingUnit", "ListUnitPrice", "BillingCurrency")
    sold = [row for row in usage(of_month(rows, month)) if row["SkuId"] is not None]
    return sums(sold, key, "PricingQuantity", "ListCost", "EffectiveCost")


def discounts(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "BillingAccountId", "ServiceName", "BillingCurrency")
    priced = [
        row
        for row in no_corrections(usage(of_month(rows, month)))
        if row["ListCost"] is not None and row["ContractedCost"] is not None
    ]
    return [
        row
        | {
            "NegotiatedDiscount": share(row["ListCost"] - row["ContractedCost"], row["ListCost"]),
            "Discount": share(row["ListCost"] - row["EffectiveCost"], row["ListCost"]),
        }
        for row in sums(priced, key, "ListCost", "ContractedCost", "EffectiveCost")
    ]


def savings_by_provider(rows: list[Row], month: str) -> list[Row]:
    """Usage with a list price, and the unused part of commitments, whatever its list price is."""

    def counts(row: Row) -> bool:
        if row["CommitmentDiscountStatus"] == "Unused" or row["ListCost"]:
            return True
        return row["ListCost"] is not None and not row["EffectiveCost"]

    answer = []
    key = by("BillingCurrency", Provider="ServiceProviderName")
    for named, members in grouped(usage(of_month(rows, month)), key):
        priced = list(filter(counts, members))
        listed, effective = total(priced, "ListCost"), total(priced, "EffectiveCost")
        answer.append(
            {
                **named,
                "ListCost": listed,
                "EffectiveCost": effective,
                "EffectiveSavingsRate": share(listed - effective, listed),
            }
        )
    return answer


def commitment_savings(rows: list[Row], month: str) -> list[Row]:
    priced = [row for row in usage(of_month(rows, month)) if row["ContractedCost"] is not None]
    key = by("ProviderName", "ServiceName", "BillingCurrency")
    return [
        row | {"EffectiveSavingsRate": share(row["ContractedCost"] - row["EffectiveCost"], row["ContractedCost"])}
        for row in sums(priced, key, "ContractedCost", "EffectiveCost")
    ]


def compute(rows: list[Row], month: str) -> list[Row]:
    key = by(
        "ProviderName",
        "SubAccountId",
        "ServiceName",
        "CommitmentDiscountType",
        "BillingCurrency",
        Month="x_Month",
    )
    return sums((row for row in rows if row["ServiceCategory"] == "Compute"), key, "EffectiveCost")


def bought(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["ChargeCategory"] == "Purchase" and row["CommitmentDiscountId"] is not None]


def purchases(rows: list[Row], month: str) -> list[Row]:
    key = by(
        "ProviderName",
        "BillingAccountId",
        "CommitmentDiscountId",
        "CommitmentDiscountType",
        "CommitmentDiscountUnit",
        "ChargeFrequency",
        "BillingCurrency",
    )
    return [
        {
            **named,
            "FirstCharge": min(row["ChargePeriodStart"] for row in members),
            "LastCharge": max(row["ChargePeriodEnd"] for row in members),
            "CommitmentDiscountQuantity": total(members, "CommitmentDiscountQuantity")
            if any(row["CommitmentDiscountQuantity"] is not None for row in members)
            else None,
            "BilledCost": total(members, "BilledCost"),
        }
        for named, members in grouped(bought(of_month(rows, month)), key)
    ]


def commitments_since(rows: list[Row], month: str) -> list[Row]:
    key = by(
        "ProviderName",
        "CommitmentDiscountId",
        "CommitmentDiscountCategory",
        "CommitmentDiscountType",
        "BillingCurrency",
    )
    return [
        {
            **named,
            "CommitmentDiscountName": greatest(members, "CommitmentDiscountName"),
            "FirstMonth": min(row["x_Month"] for row in members),
            "LastMonth": max(row["x_Month"] for row in members),
            "BilledCost": total(members, "BilledCost"),
        }
        for named, members in grouped(bought(rows), key)
    ]


def unused_commitments(rows: list[Row], month: str) -> list[Row]:
    committed = [row for row in usage(of_month(rows, month)) if row["CommitmentDiscountId"] is not None]
    key = by(
        "CommitmentDiscountId",
        "CommitmentDiscountType",
        "CommitmentDiscountUnit",
        "BillingCurrency",
        Provider="ServiceProviderName",
    )
    answer = []
    for named, members in grouped(committed, key):
        used, unused = (
            total((row for row in members if row["CommitmentDiscountStatus"] == status), "EffectiveCost")
            for status in ("Used", "Unused")
        )
        if unused > 0:
            answer.append({**named, "UnusedCost": unused, "Utilisation": share(used, used + unused)})
    return answer


def left_of_commitments(rows: list[Row], month: str) -> list[Row]:
    committed = [row for row in rows if row["CommitmentDiscountId"] is not None]
    answer = []
    key = by("CommitmentDiscountId", "BillingCurrency", Provider="ServiceProviderName")
    for named, members in grouped(committed, key):
        paid_so_far, remaining = ZERO, ZERO
        for one in sorted({row["x_Month"] for row in members}):
            in_month = of_month(members, one)
            paid = total(bought(in_month), "BilledCost")
            used, wasted = (
                total((row for row in usage(in_month) if row["CommitmentDiscountStatus"] == status), "EffectiveCost")
                for status in ("Used", "Unused")
            )
            paid_so_far, remaining = paid_so_far + paid, remaining + paid - used - wasted
            if paid_so_far > 0:
                answer.append(
                    {"Month": one, **named, "Paid": paid, "Used": used, "Wasted": wasted, "Remaining": remaining}
                )
    return answer


def traffic(rows: list[Row], month: str) -> list[Row]:
    sent = [
        row
        for row in no_corrections(usage(of_month(rows, month)))
        if row["ServiceCategory"] == "Networking" and row["ConsumedUnit"] == "GB"
    ]
    return [
        {
            **named,
            "Gigabytes": total(members, "ConsumedQuantity"),
            "EffectiveCost": total(members, "EffectiveCost"),
            "CostPerGigabyte": share(total(members, "EffectiveCost"), total(members, "ConsumedQuantity")),
        }
        for named, members in grouped(sent, by("ProviderName", "BillingCurrency", Day=day))
    ]


def core_hours(rows: list[Row]) -> Decimal:
    hours = ZERO
    for row in rows:
        hours += row["ConsumedQuantity"] * int(json.loads(row["SkuPriceDetails"])["CoreCount"])
    return hours


def with_cores(rows: list[Row], month: str) -> list[Row]:
    return [
        row
        for row in usage(of_month(rows, month))
        if row["ConsumedUnit"] == "Hours" and "CoreCount" in json.loads(row["SkuPriceDetails"] or "{}")
    ]


def cores_by_day(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "RegionId", Day=day, InstanceSeries=lambda row: None)
    return [named | {"CoreHours": core_hours(members)} for named, members in grouped(with_cores(rows, month), key)]


def core_prices(rows: list[Row], month: str) -> list[Row]:
    key = by("ProviderName", "ServiceName", "RegionId", "BillingCurrency", InstanceSeries=lambda row: None)
    return [
        {
            **named,
            "CoreHours": core_hours(members),
            "EffectiveCost": total(members, "EffectiveCost"),
            "CostPerCoreHour": share(total(members, "EffectiveCost"), core_hours(members)),
        }
        for named, members in grouped(with_cores(rows, month), key)
    ]


def credits_by_day(rows: list[Row], month: str) -> list[Row]:
    used = [row for row in usage(of_month(rows, month)) if row["PricingCurrency"] == "CREDITS"]
    days = [
        named | {"Used": total(members, "PricingCurrencyEffectiveCost")}
        for named, members in grouped(used, by("ProviderName", "PricingCurrency", Day=day))
    ]
    return [
        row
        | {
            "UsedSoFar": total(
                (one for one in days if one["ProviderName"] == row["ProviderName"] and one["Day"] <= row["Day"]),
                "Used",
            )
        }
        for row in days
    ]


def pricing_currencies(rows: list[Row], month: str) -> list[Row]:
    priced = [row for row in of_month(rows, month) if row["PricingCurrencyEffectiveCost"] is not None]
    key = by("ProviderName", "ServiceName", "PricingCurrency", "BillingCurrency")
    return [
        row | {"Rate": share(row["EffectiveCost"], row["PricingCurrencyEffectiveCost"])}
        for row in sums(priced, key, "PricingCurrencyEffectiveCost", "EffectiveCost")
    ]


def contract_savings(rows: list[Row], month: str) -> list[Row]:
    converted = [
        row
        for row in usage(of_month(rows, month))
        if row["PricingCurrency"] is not None and row["PricingCurrency"] != row["BillingCurrency"]
    ]
    key = by(
        "ServiceName",
        "ChargeDescription",
        "PricingCurrency",
        "BillingCurrency",
        ListUnitPrice="PricingCurrencyListUnitPrice",
        ContractedUnitPrice="PricingCurrencyContractedUnitPrice",
    )
    answer = []
    for named, members in grouped(converted, key):
        quantity = total(members, "PricingQuantity")
        saved = Fraction(quantity) * (Fraction(named["ListUnitPrice"]) - Fraction(named["ContractedUnitPrice"]))
        in_billing = EXACT.subtract(total(members, "ListCost"), total(members, "ContractedCost"))
        answer.append({**named, "PricingQuantity": quantity, "Saved": in_billing, "SavedCredits": saved})
    return answer


USE_CASE_ANSWERS: dict[str, Answer] = {
    "Does each invoice add up to what we were billed?": invoices,
    "Does each service cost what its line on the invoice says?": service_charges,
    "Which parties take part in each charge, host included?": parties,
    "Which sub-accounts do the corrections concern?": corrections_by_sub_account,
    "What do we buy from other sellers through a marketplace?": marketplace,
    "How much of the cost carries a tag?": tag_coverage,
    "What does each application cost, in each currency that it is billed in?": applications,
    "How did the cost of one application change from month to month?": one_application,
    "What has each sub-account left of its budget?": budgets,
    "How much did each provider bill, by month and in the year so far?": billed_by_provider,
    "How much was each application billed, by month and in the year so far?": billed_by_application,
    "What will each service cost next month, if the trend of its EffectiveCost holds?": trend,
    "How much cash will each service take next month?": cash_flow,
    "Which quantities and rates of the past can a forecast start from?": rates,
    "On which days did a sub-account spend more than usual?": unusual_days(
        ("ProviderName", "SubAccountId", "BillingCurrency"), "1.15"
    ),
    "On which days did a sub-account spend more than usual in a region?": unusual_days(
        ("ProviderName", "SubAccountId", "RegionId", "BillingCurrency"), "1.15"
    ),
    "On which days did a service of a sub-account cost more than usual in a region?": unusual_days(
        ("ProviderName", "SubAccountId", "RegionId", "ServiceName", "BillingCurrency"), "1.5"
    ),
    "How did the use of each resource change against the month before?": changed_use,
    "Which services cost a sub-account most?": service_in_sub_account,
    "What does each service category cost?": categories,
    "Which SKUs cost most, and at what list price?": skus,
    "Are the agreed discounts applied?": discounts,
    "What share of list prices do we save with each provider?": savings_by_provider,
    "What do commitments save on each service, beyond the negotiated prices?": commitment_savings,
    "What does compute cost under each kind of commitment, and without one?": compute,
    "Which commitments did we buy?": purchases,
    "Which commitments lie idle, and what does that cost?": unused_commitments,
    "Since when do we have each commitment, and what have we committed to?": commitments_since,
    "How much is left of what we paid for a commitment?": left_of_commitments,
    "What does a gigabyte of traffic cost?": traffic,
    "How many core hours do we use?": cores_by_day,
    "What does a core hour cost?": core_prices,
    "How fast do we use up our credits?": credits_by_day,
    "What do services cost in the currency in which they are priced?": pricing_currencies,
    "What does our contract save on services that are priced in credits?": contract_savings,
}
"""Heading of the page -> what its query gives."""
