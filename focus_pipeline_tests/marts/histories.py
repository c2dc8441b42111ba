"""Two years of daily costs with planted events, and how many of them a detector finds.

Nothing here knows how the mart works: levels, noise, weeks, growth and events are drawn at random, by seed.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median

import duckdb
import pyarrow as pa

from focus_pipeline.demo.deliveries import FILES, _sql
from focus_pipeline.marts.mart import Mart, parameters_of
from focus_pipeline.months import months_back, months_between
from focus_pipeline.sql import literal

FIRST, LAST = date(2024, 1, 1), date(2025, 12, 31)
DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]

# Before it, no event is planted, and nothing that is flagged is counted: there is no past to compare with.
SETTLED = 120

MATTERS = 30
"""An event is planted on a day on which it moves at least so much money."""

SUDDEN = ("tenfold day", "missing day", "new service", "restated month", "currency change")
ANOMALIES = (*SUDDEN, "slow doubling")
HABITS = ("weekend dip", "month-end purchase", "correction of a closed month")


@dataclass(frozen=True)
class Event:
    """last: the day by which all of it has happened. until: up to here, a new flag belongs to it."""

    kind: str
    service: str
    first: date
    last: date
    until: date

    @property
    def is_anomaly(self) -> bool:
        return self.kind in ANOMALIES


@dataclass
class Series:
    """Usage of one service by day. currency: by day, where it is not USD. extra: rows that are no usage."""

    provider: str
    service: str
    shape: str
    costs: list[float]
    weekend: float = 1.0
    currency: dict[int, str] = field(default_factory=dict)
    extra: list[tuple] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class History:
    series: list[Series]
    events: list[Event]

    def rows(self) -> list[tuple]:
        """As marts.daily_costs has them: month, day, provider, service, sub-account, category, correction, currency,
        cost."""
        found = []
        for one in self.series:
            for number, cost in enumerate(one.costs):
                if cost:
                    day = DAYS[number]
                    currency = one.currency.get(number, "USD")
                    found.append(usage(day, one.provider, one.service, currency, cost))
            found += one.extra
        return found


def usage(day: date, provider: str, service: str, currency: str, cost: float) -> tuple:
    return (f"{day:%Y-%m}", day, provider, service, "account", "Usage", False, currency, cost)


SHAPES = ("plain",) * 5 + ("month-end spike", "zero days", "sparse", "small and noisy", "plain")


def history(seed: int, series: int = 50, events: int = 100) -> History:
    """A history of so many series and events."""
    generator = random.Random(seed)
    made = [_series(generator, number) for number in range(series)]
    kinds = [(*ANOMALIES, *HABITS)[number % 9] for number in range(events)]
    generator.shuffle(kinds)
    # What takes most room first, while there is some.
    kinds.sort(key=("new service", "currency change", "slow doubling", "restated month", *kinds).index)
    return History(made, [_planted(generator, kind, made) for kind in kinds])


def _series(generator: random.Random, number: int) -> Series:
    shape = SHAPES[number % len(SHAPES)]
    level = math.exp(generator.uniform(math.log(30), math.log(3000)))
    noise = generator.uniform(0.03, 0.15)
    if shape == "small and noisy":
        level, noise = generator.uniform(2, 15), generator.uniform(0.3, 0.5)
    growth = generator.uniform(-0.02, 0.08)
    weekend = generator.choice([1.0, generator.uniform(0.02, 1.0), generator.uniform(0.02, 1.0)])
    workdays = [generator.uniform(0.9, 1.1) for _ in range(5)]
    spike, spike_at = generator.uniform(2.5, 8), generator.choice(["last", "last workday", "first"])
    zero_share, active_share = generator.uniform(0.04, 0.2), generator.uniform(0.04, 0.25)
    heavy = generator.random() < 0.3
    costs = []
    for place, day in enumerate(DAYS):
        cost = level * (1 + growth) ** (place / 30.4) * (workdays[day.weekday()] if day.weekday() < 5 else weekend)
        # A third of the noise has the tails of Laplace.
        drawn = generator.expovariate(1) * generator.choice([-1, 1]) / math.sqrt(2) if heavy else generator.gauss(0, 1)
        cost *= max(0.0, 1 + noise * drawn)
        if shape == "month-end spike" and _is_at(day, spike_at):
            cost *= spike
        if shape == "zero days" and generator.random() < zero_share:
            cost = 0
        if shape == "sparse" and generator.random() > active_share:
            cost = 0
        costs.append(round(cost, 6))
    return Series(f"Provider {number % 5}", f"Service {number}", shape, costs, weekend)


def _is_at(day: date, place: str) -> bool:
    if place == "first":
        return day.day == 1
    if place == "last":
        return (day + timedelta(days=1)).day == 1
    following = [day + timedelta(days=ahead) for ahead in range(1, 4)]
    left = [one for one in following if one.month == day.month and one.weekday() < 5]
    return day.weekday() < 5 and not left


def _planted(generator: random.Random, kind: str, series: list[Series]) -> Event:
    """Plants an event where there is none within 50 days. Habits are there already, or are rows that are no usage."""
    for _ in range(10_000):
        one = generator.choice(series)
        start = generator.randrange(SETTLED, len(DAYS) - 100)
        length, after = 1, 3
        day = DAYS[start]
        if kind == "slow doubling":
            length, after = generator.randrange(30, 91), 14
        elif kind == "restated month":
            day = day.replace(day=1)
            start = (day - FIRST).days
            length, after = (day.replace(day=28) + timedelta(days=4)).replace(day=1).toordinal() - day.toordinal(), 35
        elif kind in ("new service", "currency change"):
            after = 14
        if kind not in HABITS:
            regular = one.shape in ("plain", "month-end spike")
            span = (start - 50, start + length + 50)
            if any(span[0] < last and first < span[1] for first, last in one.taken):
                continue
            # Nothing else comes before a service is there, nor after its currency is another one.
            if kind in ("new service", "currency change") and one.taken:
                continue
            moved = one.costs[start] * (9 if kind == "tenfold day" else 1)
            if moved < MATTERS or not (regular or kind == "tenfold day"):
                continue
        costs = one.costs
        last = DAYS[start + length - 1]
        if kind == "tenfold day":
            costs[start] *= 10
        elif kind == "missing day":
            costs[start] = 0
        elif kind == "slow doubling":
            straight = generator.random() < 0.5
            for place in range(start, len(costs)):
                part = min(1.0, (place - start + 1) / length)
                costs[place] *= 1 + part if straight else 2**part
        elif kind == "restated month":
            factor = generator.choice([generator.uniform(2.5, 4), generator.uniform(0.1, 0.35)])
            for place in range(start, start + length):
                costs[place] *= factor
        elif kind == "new service":
            costs[:start] = [0] * start
            one.taken.append((0, start))
        elif kind == "currency change":
            for place in range(start, len(costs)):
                one.currency[place] = "EUR"
                costs[place] *= 0.92
            one.taken.append((start, len(costs)))
        elif kind == "weekend dip":
            if one.weekend > 0.7 or day.weekday() != 5:
                continue
        else:
            _plant_other_rows(generator, kind, one, day)
        if kind not in HABITS:
            one.taken.append((start, start + length))
        return Event(kind, one.service, day, last, last + timedelta(days=after))
    raise AssertionError(f"there is no room for a {kind}")


def _plant_other_rows(generator: random.Random, kind: str, one: Series, day: date) -> None:
    amount = 30 * max(one.costs) * generator.uniform(0.2, 1)
    row = replace_of(usage(day, one.provider, one.service, "USD", amount))
    if kind == "month-end purchase":
        for bought in DAYS:
            if _is_at(bought, "last"):
                one.extra.append(row(Month=f"{bought:%Y-%m}", Day=bought, ChargeCategory="Purchase"))
    else:
        later = (day.replace(day=28) + timedelta(days=10)).strftime("%Y-%m")
        one.extra.append(row(Month=later, IsCorrection=True, EffectiveCost=-amount))


@dataclass(frozen=True)
class Flag:
    """The first day of an episode, or another one of it. direction: 1 if it costs more than expected, or -1."""

    service: str
    day: date
    since: date
    direction: int


COLUMNS = {
    "Month": "VARCHAR",
    "Day": "DATE",
    "Provider": "VARCHAR",
    "ServiceName": "VARCHAR",
    "SubAccountId": "VARCHAR",
    "ChargeCategory": "VARCHAR",
    "IsCorrection": "BOOLEAN",
    "BillingCurrency": "VARCHAR",
    "EffectiveCost": "DECIMAL(38, 18)",
}


def replace_of(row: tuple):
    """A function that gives the row with other values in some columns."""
    return lambda **values: tuple((dict(zip(COLUMNS, row, strict=True)) | values).values())


def daily_costs(rows: Sequence[tuple]) -> duckdb.DuckDBPyConnection:
    """A database with marts.daily_costs of these rows."""
    connection = duckdb.connect()
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)})
    connection.register("given", table)
    cast = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in COLUMNS.items())
    connection.execute("CREATE SCHEMA marts")
    connection.execute(f"CREATE TABLE marts.daily_costs AS SELECT {cast} FROM given")
    return connection


def rows_of(connection: duckdb.DuckDBPyConnection, mart: Mart, months: Iterable[str]) -> list[dict]:
    """What the mart's SELECT gives of these months, by column."""
    found = []
    for month in months:
        result = connection.execute(mart.sql, parameters_of(mart, month, months_back(month, mart.months_back)[0]))
        names = [column[0] for column in result.description or ()]
        found += [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return found


def mart_flags(mart: Mart, history: History) -> list[Flag]:
    """What the mart flags in all months of a history."""
    months = months_between(f"{FIRST:%Y-%m}", f"{LAST:%Y-%m}")
    return [
        Flag(row["ServiceName"], row["Day"], row["Since"], 1 if row["Difference"] > 0 else -1)
        for row in rows_of(daily_costs(history.rows()), mart, months)
    ]


@dataclass(frozen=True)
class Found:
    """missed: anomalies without a flag within two days. false: episodes that belong to none. days: that were judged."""

    anomalies: int
    missed: tuple[Event, ...]
    false: tuple[Flag, ...]
    days: int

    @property
    def share(self) -> float:
        return 1 - len(self.missed) / self.anomalies

    @property
    def false_per_thousand(self) -> float:
        return 1000 * len(self.false) / self.days


def judged(history: History, flags: Iterable[Flag]) -> Found:
    """Holds flags against what was planted.

    Found: a flag on the day or the two days after it. A slow doubling also counts from a quarter of it on, if the flag
    says that the cost rose.
    """
    by_service: dict[str, list[Flag]] = {}
    for flag in flags:
        by_service.setdefault(flag.service, []).append(flag)
    planted = [event for event in history.events if event.is_anomaly]
    missed = []
    for event in planted:
        first, last, directions = event.first, event.first, (1, -1)
        if event.kind == "slow doubling":
            first, last, directions = event.first + (event.last - event.first) / 4, event.last, (1,)
        if not any(
            first <= flag.day <= last + timedelta(days=2) and flag.direction in directions
            for flag in by_service.get(event.service, [])
        ):
            missed.append(event)
    false = [
        flag
        for flags in by_service.values()
        for flag in flags
        if flag.day == flag.since
        and flag.day >= DAYS[SETTLED]
        and not any(event.service == flag.service and event.first <= flag.day <= event.until for event in planted)
    ]
    return Found(len(planted), tuple(missed), tuple(false), len(history.series) * (len(DAYS) - SETTLED))


def with_episodes(days: Iterable[tuple[str, date, int]]) -> list[Flag]:
    """Flags of service, day and direction: those that follow each other within a week are one episode."""
    flags: list[Flag] = []
    latest: dict[tuple[str, int], Flag] = {}
    for service, day, direction in sorted(days):
        former = latest.get((service, direction))
        since = former.since if former and (day - former.day).days <= 7 else day
        latest[service, direction] = Flag(service, day, since, direction)
        flags.append(latest[service, direction])
    return flags


def plain_flags(history: History) -> list[Flag]:
    """What the median and MAD of the last 30 days flag, without a season: the method that everyone tries first."""
    found = []
    for one in history.series:
        for currency in sorted({"USD", *one.currency.values()}):
            costs = [cost if one.currency.get(at, "USD") == currency else 0.0 for at, cost in enumerate(one.costs)]
            for place in range(30, len(costs)):
                past = costs[place - 30 : place]
                middle = median(past)
                spread = 1.4826 * median(abs(cost - middle) for cost in past)
                difference = costs[place] - middle
                if abs(difference) > max(3.5 * spread, 10):
                    found.append((one.service, DAYS[place], 1 if difference > 0 else -1))
    return with_episodes(found)


def demo_costs(months: Sequence[str]) -> list[tuple]:
    """The rows of marts.daily_costs that the demo's deliveries of these months give."""
    found = []
    with duckdb.connect() as connection:
        for month in months:
            connection.execute(f"SET VARIABLE month = {literal(month)}")
            connection.execute(_sql("shared"))
            for name in FILES:
                connection.execute(_sql(name))
                there = {column for column, *_ in connection.execute(f"DESCRIBE {name}").fetchall()}
                provider = "ProviderName" if "ProviderName" in there else "'Oracle'"
                account = "SubAccountId" if "SubAccountId" in there else "NULL"
                correction = "ChargeClass IS NOT DISTINCT FROM 'Correction'" if "ChargeClass" in there else "false"
                found += connection.execute(
                    f"SELECT $month, CAST(CAST(ChargePeriodStart AS VARCHAR)[:10] AS DATE), {provider}, ServiceName, "
                    f"{account}, ChargeCategory, {correction}, BillingCurrency, "
                    f"CAST(sum(EffectiveCost) AS DOUBLE) FROM {name} GROUP BY ALL",
                    {"month": month},
                ).fetchall()
    return found
