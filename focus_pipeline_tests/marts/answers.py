"""What each mart should hold, worked out in plain Python from the staged rows: another way than the marts' SQL goes.

Each function takes all rows and a month, and gives the mart's rows by column. Shares and rates are exact fractions.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from statistics import median

from focus_pipeline.months import month_bounds, months_back

EXACT = Context(prec=100)
ZERO = Decimal(0)

Row = dict[str, object]
Answer = Callable[[list[Row], str], list[Row]]


def total(rows: Iterable[Row], column: str) -> Decimal:
    result = ZERO
    for row in rows:
        result = EXACT.add(result, row[column] or ZERO)
    return result


def share(part: Decimal, whole: Decimal) -> Fraction | None:
    return Fraction(part) / Fraction(whole) if whole else None


def grouped(rows: Iterable[Row], key: Callable[[Row], dict]) -> Iterator[tuple[dict, list[Row]]]:
    found: dict[tuple, list[Row]] = defaultdict(list)
    keys: dict[tuple, dict] = {}
    for row in rows:
        of_row = key(row)
        found[tuple(of_row.values())].append(row)
        keys[tuple(of_row.values())] = of_row
    for values, members in found.items():
        yield keys[values], members


def of_month(rows: list[Row], month: str) -> list[Row]:
    return [row for row in rows if row["x_Month"] == month]


def greatest(rows: Iterable[Row], column: str) -> object:
    return max((row[column] for row in rows if row[column] is not None), default=None)


def key_of(month: str, *columns: str, **renamed: str) -> Callable[[Row], dict]:
    return lambda row: {
        "Month": month,
        **{name: row[column] for name, column in renamed.items()},
        **{name: row[name] for name in columns},
    }


def both_costs(rows: list[Row]) -> dict:
    return {"BilledCost": total(rows, "BilledCost"), "EffectiveCost": total(rows, "EffectiveCost")}


def monthly_costs(rows: list[Row], month: str) -> list[Row]:
    key = key_of(
        month,
        "ServiceCategory",
        "ServiceName",
        "SubAccountId",
        "RegionId",
        "BillingCurrency",
        Provider="ServiceProviderName",
    )
    return [
        {
            **named,
            "SubAccountName": greatest(members, "SubAccountName"),
            "RegionName": greatest(members, "RegionName"),
            "Rows": len(members),
            **both_costs(members),
        }
        for named, members in grouped(of_month(rows, month), key)
    ]


def daily_costs(rows: list[Row], month: str) -> list[Row]:
    def key(row: Row) -> dict:
        return {
            "Month": month,
            "Day": row["ChargePeriodStart"].date(),
            "Provider": row["ServiceProviderName"],
            "ServiceName": row["ServiceName"],
            "SubAccountId": row["SubAccountId"],
            "ChargeCategory": row["ChargeCategory"],
            "IsCorrection": row["ChargeClass"] == "Correction",
            "BillingCurrency": row["BillingCurrency"],
        }

    return [named | both_costs(members) for named, members in grouped(of_month(rows, month), key)]


def cash_and_accrual(rows: list[Row], month: str) -> list[Row]:
    def key(row: Row) -> dict:
        return {
            "Month": month,
            "Provider": row["ServiceProviderName"],
            "ChargeCategory": row["ChargeCategory"],
            "IsCorrection": row["ChargeClass"] == "Correction",
            "BillingCurrency": row["BillingCurrency"],
        }

    return [
        {
            **named,
            "Rows": len(members),
            **both_costs(members),
            "PrepaidChange": EXACT.subtract(total(members, "BilledCost"), total(members, "EffectiveCost")),
        }
        for named, members in grouped(of_month(rows, month), key)
    ]


def invoices(rows: list[Row], month: str) -> list[Row]:
    key = key_of(month, "InvoiceIssuerName", "InvoiceId", "BillingAccountId", "BillingCurrency")
    return [
        {
            **named,
            "Rows": len(members),
            "Tax": total((row for row in members if row["ChargeCategory"] == "Tax"), "BilledCost"),
            "Credit": total((row for row in members if row["ChargeCategory"] == "Credit"), "BilledCost"),
            **both_costs(members),
        }
        for named, members in grouped(of_month(rows, month), key)
    ]


def _has_list_price(row: Row) -> bool:
    if row["CommitmentDiscountStatus"] == "Unused":
        return True
    if row["ListCost"] is None:
        return False
    return row["ListCost"] != 0 or not row["EffectiveCost"]


def _without_commitment(row: Row) -> Decimal:
    """What a charge costs without a commitment. Some providers send no ContractedCost."""
    if row["ContractedCost"] is not None:
        return row["ContractedCost"]
    if row["CommitmentDiscountId"] is not None and row["ListCost"] is not None:
        return row["ListCost"]
    return row["EffectiveCost"] or ZERO


def savings(rows: list[Row], month: str) -> list[Row]:
    usage = [row for row in of_month(rows, month) if row["ChargeCategory"] == "Usage"]
    answer = []
    for named, members in grouped(
        usage, key_of(month, "ServiceName", "BillingCurrency", Provider="ServiceProviderName")
    ):
        priced = [row for row in members if _has_list_price(row)]
        unpriced = [row for row in members if not _has_list_price(row)]
        listed, contracted = total(priced, "ListCost"), sum(map(_without_commitment, priced), ZERO)
        effective, without = total(priced, "EffectiveCost"), total(unpriced, "EffectiveCost")
        answer.append(
            {
                **named,
                "ListCost": listed,
                "ContractedCost": contracted,
                "EffectiveCost": effective,
                "NegotiatedSavings": listed - contracted,
                "CommitmentSavings": contracted - effective,
                "EffectiveSavingsRate": share(listed - effective, listed),
                "EffectiveCostWithoutListPrice": without,
                "ShareWithoutListPrice": share(without, effective + without),
            }
        )
    return answer


def commitment_use(rows: list[Row], month: str) -> list[Row]:
    committed = [row for row in of_month(rows, month) if row["CommitmentDiscountId"] is not None]
    key = key_of(
        month, "CommitmentDiscountId", "CommitmentDiscountUnit", "BillingCurrency", Provider="ServiceProviderName"
    )
    answer = []
    for named, members in grouped(committed, key):
        usage = [row for row in members if row["ChargeCategory"] == "Usage"]
        used = [row for row in usage if row["CommitmentDiscountStatus"] == "Used"]
        unused = [row for row in usage if row["CommitmentDiscountStatus"] == "Unused"]
        used_cost, unused_cost = total(used, "EffectiveCost"), total(unused, "EffectiveCost")
        answer.append(
            {
                **named,
                "CommitmentDiscountName": greatest(members, "CommitmentDiscountName"),
                "CommitmentDiscountType": greatest(members, "CommitmentDiscountType"),
                "CommitmentDiscountCategory": greatest(members, "CommitmentDiscountCategory"),
                "UsedCost": used_cost,
                "UnusedCost": unused_cost,
                "Utilisation": share(used_cost, used_cost + unused_cost),
                "UsedQuantity": _quantity(used),
                "UnusedQuantity": _quantity(unused),
                "PurchaseCost": total((row for row in members if row["ChargeCategory"] == "Purchase"), "BilledCost"),
            }
        )
    return answer


def _quantity(rows: list[Row]) -> Decimal | None:
    said = [row for row in rows if row["CommitmentDiscountQuantity"] is not None]
    return total(said, "CommitmentDiscountQuantity") if said else None


def commitment_coverage(rows: list[Row], month: str) -> list[Row]:
    usage = [
        row
        for row in of_month(rows, month)
        if row["ChargeCategory"] == "Usage"
        and row["PricingCategory"] in ("Standard", "Committed")
        and row["CommitmentDiscountStatus"] != "Unused"
    ]
    answer = []
    for named, members in grouped(
        usage, key_of(month, "ServiceName", "BillingCurrency", Provider="ServiceProviderName")
    ):
        covered = [row for row in members if row["CommitmentDiscountStatus"] == "Used"]
        told = [row for row in members if row["CommitmentProgramEligibilityDetails"] is not None]
        eligible = members if covered else []
        if told:
            eligible = [row for row in members if row in covered or row in told]
        if eligible:
            covered_cost, eligible_cost = (sum(map(_without_commitment, some), ZERO) for some in (covered, eligible))
            answer.append(
                {
                    **named,
                    "CoveredCost": covered_cost,
                    "EligibleCost": eligible_cost,
                    "Coverage": share(covered_cost, eligible_cost),
                }
            )
    return answer


def allocation(rows: list[Row], month: str) -> list[Row]:
    import json

    answer = []
    for tag_key in ("team", "environment"):

        def key(row: Row, tag_key: str = tag_key) -> dict:
            value = json.loads(row["Tags"] or "{}").get(tag_key)
            return {
                "Month": month,
                "TagKey": tag_key,
                "TagValue": (value or "").strip() or None,
                "BillingCurrency": row["BillingCurrency"],
            }

        for named, members in grouped(of_month(rows, month), key):
            of_currency = [row for row in of_month(rows, month) if row["BillingCurrency"] == named["BillingCurrency"]]
            answer.append(
                {
                    **named,
                    "IsTagged": named["TagValue"] is not None,
                    "Rows": len(members),
                    **both_costs(members),
                    "ShareOfEffectiveCost": share(total(members, "EffectiveCost"), total(of_currency, "EffectiveCost")),
                }
            )
    return answer


def movers(rows: list[Row], month: str) -> list[Row]:
    before = (first_day(month) - timedelta(days=1)).strftime("%Y-%m")
    if not of_month(rows, before):
        return []

    def key(row: Row) -> dict:
        return {
            "Month": month,
            "Provider": row["ServiceProviderName"],
            "ServiceName": row["ServiceName"],
            "SubAccountId": row["SubAccountId"],
            "SkuPriceId": row["SkuPriceId"],
            "Kind": "Correction" if row["ChargeClass"] == "Correction" else row["ChargeCategory"],
            "BillingCurrency": row["BillingCurrency"],
        }

    answer = []
    for named, members in grouped([*of_month(rows, before), *of_month(rows, month)], key):
        former, now = of_month(members, before), of_month(members, month)
        cost_before, cost = total(former, "EffectiveCost"), total(now, "EffectiveCost")
        change = cost - cost_before
        quantity_change = None
        if named["Kind"] == "Usage":
            if not former or not now:
                quantity_change = change
            else:
                quantities = [
                    total(some, "PricingQuantity") if any(row["PricingQuantity"] is not None for row in some) else None
                    for some in (former, now)
                ]
                if quantities[0] and quantities[1] is not None:
                    exact = Fraction(cost_before) * (Fraction(quantities[1]) / Fraction(quantities[0]) - 1)
                    quantity_change = rounded(exact)
        if not change and not quantity_change:
            continue
        answer.append(
            {
                **named,
                "CostBefore": cost_before,
                "Cost": cost,
                "Change": change,
                "QuantityChange": quantity_change,
                "PriceChange": None if quantity_change is None else change - quantity_change,
                "Movement": "changed" if former and now else "gone" if former else "new",
            }
        )
    return answer


OWN_PUBLISHERS = {"Amazon Web Services, Inc.", "AWS", "Microsoft"}


def marketplace_and_credits(rows: list[Row], month: str) -> list[Row]:
    def kind(row: Row) -> str | None:
        if row["ChargeClass"] == "Correction":
            return "Correction"
        if row["ChargeCategory"] == "Credit":
            return "Credit"
        if row["BilledCost"] < 0:
            return "Refund"
        others = {row["ServiceProviderName"], row["InvoiceIssuerName"], *OWN_PUBLISHERS}
        return None if row["PublisherName"] in others else "Marketplace"

    def key(row: Row) -> dict:
        return {
            "Month": month,
            "Provider": row["ServiceProviderName"],
            "InvoiceIssuerName": row["InvoiceIssuerName"],
            "Seller": row["PublisherName"],
            "Kind": kind(row),
            "ServiceName": row["ServiceName"],
            "CorrectedMonth": row["ChargePeriodStart"].strftime("%Y-%m") if kind(row) == "Correction" else None,
            "BillingCurrency": row["BillingCurrency"],
        }

    return [
        {**named, "Rows": len(members), **both_costs(members)}
        for named, members in grouped(of_month(rows, month), key)
        if named["Kind"]
    ]


def restatements(rows: list[Row], month: str) -> list[Row]:
    """None: every month of the set is loaded once. A test of its own has months that are loaded again."""
    return []


AI_METERS: dict[str, dict] = {
    "USE1-NovaPro-cache-read-input-token-count": {
        "Model": "Nova Pro",
        "ModelFamily": "nova",
        "Direction": "cache read",
        "Tier": "standard",
        "Unit": "tokens",
        "per": 1000,
        "public": "0.2",
    },
    "USE1-MP:USE1_OutputTokenCount-Units": {
        "Model": "unknown",
        "ModelFamily": None,
        "Direction": "output",
        "Tier": "standard",
        "Unit": "tokens",
        "per": 1_000_000,
    },
    "gpt 4.1 nano Batch Inp DZone Tokens": {
        "Model": "gpt-4.1-nano",
        "ModelFamily": "gpt",
        "Direction": "input",
        "Tier": "data zone,batch",
        "Unit": "tokens",
        "per": 1000,
        "public": "0.1",
    },
    "Gemini 2.5 Flash Lite Text Input - Predictions": {
        "Model": "gemini-2.5-flash-lite",
        "ModelFamily": "gemini",
        "Direction": "input",
        "Tier": "standard",
        "Unit": "tokens",
        "per": 1,
        "public": "0.1",
    },
    "cache_creation": {
        "Model": "claude-opus-4-6",
        "ModelFamily": "claude",
        "Direction": "cache write",
        "Tier": "standard",
        "Unit": "tokens",
        "per": "consumed",
        "public": "6.25",
    },
    "USE1-Host:ml.m5.xlarge": {
        "Model": None,
        "ModelFamily": None,
        "Direction": "hosting",
        "Tier": "standard",
        "Unit": "instance hours",
        "per": 1,
    },
    "Widget Hours": {
        "Model": None,
        "ModelFamily": None,
        "Direction": "unclassified",
        "Tier": None,
        "Unit": None,
        "per": 0,
    },
}
"""SkuMeter -> what it means, of the charges that are of an AI service; by hand."""


def ai_costs(rows: list[Row], month: str) -> list[Row]:
    def key(row: Row) -> dict:
        meter = AI_METERS[row["SkuMeter"]]
        if row["ChargeCategory"] in ("Tax", "Credit", "Adjustment"):
            meter = dict.fromkeys(meter) | {"Direction": "not usage (credit)"}
        return {
            "Month": month,
            "Provider": row["ServiceProviderName"],
            "Seller": row["PublisherName"],
            "ServiceName": row["ServiceName"] or "Amazon Bedrock",
            **{name: meter[name] for name in ("Model", "ModelFamily", "Direction", "Tier", "Unit")},
            **{name: row[name] for name in ("BillingCurrency", "SkuId", "SkuMeter", "SubAccountId", "Tags")},
        }

    answer = []
    for named, members in grouped([row for row in of_month(rows, month) if row["SkuMeter"] in AI_METERS], key):
        quantity = None
        if named["Unit"]:
            quantities = [_units(row) for row in members]
            said = [one for one in quantities if one is not None]
            quantity = sum(said, ZERO) if said else None
        costs = both_costs(members)
        per_million = None
        if named["Unit"] == "tokens" and quantity:
            per_million = Fraction(costs["EffectiveCost"]) / Fraction(quantity) * 1_000_000
        public = AI_METERS[named["SkuMeter"]].get("public") if named["Unit"] == "tokens" else None
        factors = [one for row in members if public and (one := _factor(row, Fraction(public))) is not None]
        compared = {
            "PublicPricePerMillionTokens": public and Fraction(public),
            "PriceFactor": max(factors, key=lambda factor: max(factor, 1 / factor), default=None),
            "UnitErrors": sum(factor >= 100 or factor <= Fraction(1, 100) for factor in factors),
        }
        answer.append(named | costs | compared | {"Quantity": quantity, "CostPerMillionTokens": per_million})
    return answer


def _factor(row: Row, public: Fraction) -> Fraction | None:
    """The price of a row per million tokens, in USD, against the public one."""
    if row["BillingCurrency"] != "USD":
        return None
    cost, tokens = row["ListCost"] or row["EffectiveCost"], _units(row)
    if not tokens or cost is None or cost / tokens <= 0:
        return None
    return Fraction(cost) / Fraction(tokens) * 1_000_000 / public


def _units(row: Row) -> Decimal | None:
    per = AI_METERS[row["SkuMeter"]]["per"]
    if per == "consumed":
        return row["ConsumedQuantity"]
    return None if row["PricingQuantity"] is None else EXACT.multiply(row["PricingQuantity"], Decimal(per))


def rounded(number: Fraction) -> Decimal:
    """To 6 decimals."""
    return EXACT.divide(Decimal(round(number * 10**6)), Decimal(10**6))


def first_day(month: str):
    from datetime import datetime

    return datetime.strptime(f"{month}-01", "%Y-%m-%d")


FLOOR = 10.0
"""The parameter least_difference of anomalies."""


class DailySeries:
    """Costs of one service or sub-account by day, from the first day of its provider on, and what they say of a day."""

    def __init__(self, costs: dict[date, Decimal], first: date, last: date) -> None:
        self.first, self.last, self.begins = first, last, min(costs)
        self.exact = [costs.get(first + timedelta(at), ZERO) for at in range((last - first).days + 1)]
        self.costs = [float(cost) for cost in self.exact]
        places = range(len(self.costs))
        self.usual = [self._same_weekday(at, 1, 8, least=4) for at in places]
        self.near = [self._same_weekday(at, 4, 8, least=3) for at in places]
        self.far = [self._same_weekday(at, 9, 13, least=3) for at in places]
        self.deviation = [self._against(at, self.usual[at]) for at in places]
        # Days on which something was expected.
        expected = [at for at in places if (self.usual[at] or 0) > 0]
        deviations_of = lambda at, days: [self.deviation[one] for one in expected if at - days <= one < at]  # noqa: E731
        self.distance = {
            at: abs(self.deviation[at] - median(recent)) for at in expected if (recent := deviations_of(at, 14))
        }
        self.centre = []
        self.spread = []
        for at in places:
            past = deviations_of(at, 84)
            self.centre.append(0.0 if len(past) < 14 else median(past))
            distances = [self.distance[one] for one in expected if at - 84 <= one < at and one in self.distance]
            self.spread.append(0.3 if len(distances) < 14 else max(1.4826 * median(distances), 0.05))

    def day(self, at: int) -> date:
        return self.first + timedelta(at)

    def _same_weekday(self, at: int, weeks: int, to_weeks: int, least: int) -> float | None:
        found = [self.costs[at - 7 * week] for week in range(weeks, to_weeks + 1) if at - 7 * week >= 0]
        return max(median(found), 0.0) if len(found) >= least else None

    def _against(self, at: int, other: float | None) -> float | None:
        return None if other is None else math.log((max(self.costs[at], 0.0) + FLOOR) / (other + FLOOR))

    def active(self, at: int) -> float:
        past = self.costs[max(at - 84, 0) : at]
        return sum(cost > 0 for cost in past) / len(past) if past else 0.0

    def expected(self, at: int) -> float | None:
        return None if self.usual[at] is None else (self.usual[at] + FLOOR) * math.exp(self.centre[at]) - FLOOR

    def score(self, at: int) -> float:
        return (self.deviation[at] - self.centre[at]) / self.spread[at]

    def is_sudden(self, at: int) -> bool:
        expected = self.expected(at)
        if expected is None:
            return False
        difference = self.costs[at] - expected
        return (
            abs(self.score(at)) >= 4.5
            and abs(difference) >= max(FLOOR, 0.4 * expected)
            and (difference > 0 or self.active(at) >= 0.5)
            and not self._is_habit(at, 1 if difference > 0 else -1)
        )

    def _is_habit(self, at: int, direction: int) -> bool:
        elsewhere = 0
        for one in range(at - 6):
            settled = self.usual[one] is not None and (
                self.begins == self.first or self.day(one) >= self.begins + timedelta(63)
            )
            as_dear = direction > 0 and self.costs[one] >= self.costs[at] / 1.5
            alike = as_dear
            if settled:
                alike = direction * (self.deviation[one] - self.deviation[at]) >= -math.log(1.5)
                more = direction > 0 and self.costs[one] - self.usual[one] >= (self.costs[at] - self.usual[at]) / 1.5
                alike = alike or more
            if not alike and not (as_dear and (at - one) % 7 == 0 and at - one <= 56):
                continue
            day, now = self.day(one), self.day(at)
            to_end, now_to_end = ((month_bounds(f"{it:%Y-%m}")[1].date() - it).days - 1 for it in (day, now))
            elsewhere += self.usual[one] is not None and day.day > 2 and to_end > 2
            if months_back(f"{now:%Y-%m}", 1)[0] == f"{day:%Y-%m}" and (
                abs(day.day - now.day) <= 2 or abs(to_end - now_to_end) <= 2
            ):
                return True
        return elsewhere >= 2

    def slow(self, at: int) -> float | None:
        """How far the level of the week is above that of nine to thirteen weeks ago, if it moved slowly."""
        if not self.far[at] or self.active(at) < 0.5:
            return None
        week = [one for one in range(max(at - 6, 0), at + 1) if self.costs[one] > 0]
        compared = [one for one in week if self.far[one]]
        if len(compared) < 4:
            return None
        above_far = median(self._against(one, self.far[one]) for one in compared)
        near = [self._against(one, self.near[one]) for one in week if self.near[one] is not None]
        more = median(self.costs[one] - self.far[one] for one in week if self.far[one] is not None)
        enough = abs(above_far) >= max(math.log(1.7), 2 * self.spread[at]) and abs(more) >= FLOOR
        along = near and abs(median(near)) >= math.log(1.15) and (median(near) > 0) == (above_far > 0)
        return above_far if enough and along else None


def anomalies(rows: list[Row], month: str) -> list[Row]:
    months = months_back(month, 6)
    begin, end = month_bounds(months[0])[0].date(), month_bounds(month)[1].date()
    month_start = month_bounds(month)[0].date()
    usage = [
        row
        for row in rows
        if row["x_Month"] in months
        and row["ChargeCategory"] == "Usage"
        and row["ChargeClass"] != "Correction"
        and begin <= row["ChargePeriodStart"].date() < end
    ]
    days_of: dict[str | None, list[date]] = defaultdict(list)
    of_sub_account: dict[tuple, Decimal] = defaultdict(Decimal)
    of_currency: dict[tuple, Decimal] = defaultdict(Decimal)
    for row in usage:
        provider, service, account = row["ServiceProviderName"], row["ServiceName"], row["SubAccountId"]
        cost, currency = row["EffectiveCost"] or ZERO, row["BillingCurrency"]
        days_of[provider].append(row["ChargePeriodStart"].date())
        of_sub_account[provider, service, account, currency] += cost
        of_currency[provider, currency] += cost
    by_series: dict[tuple, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in usage:
        provider, service, account = row["ServiceProviderName"], row["ServiceName"], row["SubAccountId"]
        cost, currency, day = row["EffectiveCost"] or ZERO, row["BillingCurrency"], row["ChargePeriodStart"].date()
        by_series[provider, service, None, currency][day] += cost
        siblings = [key for key in of_sub_account if (key[0], key[1], key[3]) == (provider, service, currency)]
        part = of_sub_account[provider, service, account, currency]
        if account is not None and len(siblings) > 1 and part >= Decimal("0.05") * of_currency[provider, currency]:
            by_series[provider, service, account, currency][day] += cost
    series = {
        key: DailySeries(costs, min(days_of[key[0]]), max(days_of[key[0]]))
        for key, costs in by_series.items()
        if max(days_of[key[0]]) >= month_start and max(costs.values()) >= FLOOR
    }
    answer = []
    for key, one in series.items():
        since: dict[int, date] = {}
        latest: dict[int, date] = {}
        for at in range(len(one.costs)):
            day = one.day(at)
            if day < month_start - timedelta(45):
                continue
            sudden, slow = one.is_sudden(at), one.slow(at)
            if not sudden and slow is None:
                continue
            expected = one.expected(at) if sudden else one.far[at]
            direction = 1 if (one.costs[at] > expected if sudden else slow > 0) else -1
            if direction < 0 and (one.last - day).days < 2 and _is_late(series, key[0], at):
                continue
            if direction not in latest or (day - latest[direction]).days > 7:
                since[direction] = day
            latest[direction] = day
            if day < month_start:
                continue
            others = {currency for *name, currency in by_series if tuple(name) == key[:3]} - {key[3]}
            if direction > 0 and (day - one.begins).days < 8:
                kind = "new currency" if others else "new"
            elif not sudden:
                kind = "rising" if direction > 0 else "falling"
            elif direction > 0:
                kind = "high"
            else:
                kind = "missing" if one.costs[at] <= 0.05 * expected else "low"
            said = rounded(Fraction(expected))
            answer.append(
                {
                    "Month": month,
                    "Day": day,
                    "Provider": key[0],
                    "ServiceName": key[1],
                    "SubAccountId": key[2],
                    "BillingCurrency": key[3],
                    "Kind": kind,
                    "Since": since[direction],
                    "Cost": one.exact[at],
                    "ExpectedCost": said,
                    "Difference": one.exact[at] - said,
                    "Score": Fraction(one.score(at) if sudden else slow / one.spread[at]),
                }
            )
    return answer


def _is_late(series: dict[tuple, DailySeries], provider: str | None, at: int) -> bool:
    there = [
        one.costs[at] >= 0.8 * one.usual[at]
        for key, one in series.items()
        if key[0] == provider and key[2] is None and one.active(at) >= 0.5 and (one.usual[at] or 0) >= FLOOR
    ]
    return bool(there) and sum(there) / len(there) < 0.5


def forecast(rows: list[Row], month: str) -> list[Row]:
    months = months_back(month, 9)
    by_payer: dict[tuple, list[tuple]] = defaultdict(list)
    for row in rows:
        if row["x_Month"] in months and row["ChargeClass"] != "Correction":
            start, end = (moment.date() for moment in month_bounds(row["x_Month"]))
            day = min(max(row["ChargePeriodStart"].date(), start), end - timedelta(1))
            line = (row["ChargeCategory"], row["ServiceName"])
            charge = (row["x_Month"], day, line, row["EffectiveCost"] or ZERO)
            by_payer[row["ServiceProviderName"], row["BillingCurrency"]].append(charge)
    answer = []
    for (provider, currency), charges in by_payer.items():
        if all(bill != month for bill, *_ in charges):
            continue
        known, closed = _known_days(charges, month)
        made = [_forecast_of(charges, one, known) for one in reversed(months_back(month, 6))]
        as_of, so_far, guess, actual, error = made[0]
        past = [one[4] for one in made[1:] if one[4] is not None]
        width = max(past) if len(past) >= 4 else max([0.25, *past])
        ends = (None, None)
        if guess is not None:
            low, high = guess - width * abs(guess), guess + width * abs(guess)
            ends = (max(low, min(float(so_far), guess)), high)
        low, high = (None if end is None else rounded(Fraction(end)) for end in ends)
        answer.append(
            {
                "Month": month,
                "Provider": provider,
                "BillingCurrency": currency,
                "KnownUntil": as_of,
                "CostSoFar": so_far,
                "Forecast": None if guess is None else rounded(Fraction(guess)),
                "Low": low,
                "High": high,
                "PastError": Fraction(median(past)) if past else None,
                "PastMonths": len(past),
                "LastMonth": made[1][3],
                "Actual": actual if closed else None,
                "Error": Fraction(error) if closed and error is not None else None,
            }
        )
    return answer


def _known_days(charges: list[tuple], month: str) -> tuple[int, bool]:
    """How many days of the month the forecast knows, and whether the month is over."""
    start, end = (moment.date() for moment in month_bounds(month))
    before = months_back(month, 1)[0]
    used, used_before = (
        {day for bill, day, line, _ in charges if bill == one and line[0] == "Usage"} for one in (month, before)
    )
    last = max(used or {day for _, day, *_ in charges})
    closed = (end - last).days <= 3
    if used_before and len(used_before) < 15:
        closed = closed or (end - last).days - 1 <= (start - max(used_before)).days + 5
    return (10 if closed else max((last - start).days + 1 - 2, 0)), closed


def _forecast_of(charges: list[tuple], month: str, known: int) -> tuple:
    """as_of, cost so far, forecast, actual cost, error."""
    start, end = (moment.date() for moment in month_bounds(month))
    as_of = min(start + timedelta(known - 1), end - timedelta(1))
    of_bill = [charge for charge in charges if charge[0] == month]
    so_far = sum((cost for _, day, _, cost in of_bill if day <= as_of), ZERO)
    actual = sum((cost for *_, cost in of_bill), ZERO) if of_bill else None
    first = min(day for _, day, *_ in charges)
    if first > as_of - timedelta(27):
        return as_of, so_far, None, actual, None
    guess = float(so_far)
    for line in {line for _, _, line, _ in charges}:
        guess += _remaining_of([charge for charge in charges if charge[2] == line], line, month, as_of, first)
    error = abs(guess / float(actual) - 1) if actual and actual > 0 else None
    return as_of, so_far, guess, actual, error


def _remaining_of(charges: list[tuple], line: tuple, month: str, as_of: date, first: date) -> float:
    start, end = (moment.date() for moment in month_bounds(month))
    begins = min(day for _, day, *_ in charges)
    by_day: dict[date, float] = defaultdict(float)
    for _, day, _, cost in charges:
        by_day[day] += float(cost)
    past = [as_of - timedelta(age) for age in range(56)]
    past = [day for day in past if day >= begins] if line[0] == "Usage" else []
    of_weekday = {
        (part, weekday): [
            by_day.get(day, 0.0) for day in past if _part(day, as_of) == part and day.weekday() == weekday
        ]
        for part in (0, 1)
        for weekday in range(7)
    }
    recent = {weekday: median(of_weekday[0, weekday]) for weekday in range(7) if of_weekday[0, weekday]}
    former = [median(of_weekday[1, weekday]) for weekday in range(7) if of_weekday[1, weekday]]
    later: list[list[tuple]] = []
    for ago in (1, 2):
        bill = months_back(month, ago)[0]
        bill_start = month_bounds(bill)[0].date()
        costs: dict[date, float] = defaultdict(float)
        for of_bill, day, _, cost in charges:
            if of_bill == bill and day - bill_start > as_of - start:
                costs[day] += float(cost)
        later.append(list(costs.items()))
    used = [by_day.get(day, 0.0) != 0 for day in past]
    if used and sum(used[:14]) >= len(used[:14]) / 2:
        drift = 1.0
        if len(former) == 7 and sum(former) > 0 and sum(recent.values()) > 0:
            drift = min(max(sum(recent.values()) / sum(former), 0.8), 1.25)
        level = sum(recent.values()) / len(recent)
        expected, day = 0.0, as_of + timedelta(1)
        while day < end:
            usual = recent.get(day.weekday(), level)
            expected += usual * drift ** (((day - as_of).days + 13.5) / 28)
            day += timedelta(1)
        above = [
            sum(
                cost - recent[day.weekday()]
                for day, cost in some
                if day.weekday() in recent and cost > 2 * recent[day.weekday()]
            )
            for some in later
        ]
        return expected + min(above)
    if used and sum(used) >= len(used) / 2:
        return 0.0
    before, two_before = (sum(cost for _, cost in some) for some in later)
    unknown = first > month_bounds(months_back(month, 2)[0])[0].date()
    return before if two_before or unknown else 0.0


def _part(day: date, as_of: date) -> int:
    return int((as_of - day).days >= 28)


def budgets(rows: list[Row], month: str) -> list[Row]:
    """None: none is listed. test_budgets.py has some."""
    return []


ANSWERS: dict[str, Answer] = {
    "ai_costs": ai_costs,
    "allocation": allocation,
    "anomalies": anomalies,
    "budgets": budgets,
    "cash_and_accrual": cash_and_accrual,
    "commitment_coverage": commitment_coverage,
    "commitment_use": commitment_use,
    "daily_costs": daily_costs,
    "forecast": forecast,
    "invoices": invoices,
    "marketplace_and_credits": marketplace_and_credits,
    "monthly_costs": monthly_costs,
    "movers": movers,
    "restatements": restatements,
    "savings": savings,
}
