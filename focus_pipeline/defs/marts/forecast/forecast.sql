-- What a month will cost, from what is known of it. docs/forecast.md has the method and its weaknesses.
--
-- Known: the days up to KnownUntil. In a running month that is the last day with usage less $late_days, which may be
-- incomplete. Of a month that is over, the forecast is the one of day $closed_at, beside the actual cost. A month is over
-- if usage reaches its last three days; of a provider with usage on few days, if it reaches as far as it usually does,
-- a week more or less.
-- Usage that is charged on most days: the median of the same weekday of four weeks, times the drift against the four
-- weeks before, for each day to come; and what rose above twice that in both of the last two months after this day.
-- Other usage, purchases, tax and credits: what the month before had after this day, if the one before it had some, too.
-- Past error: the same, worked out for each of the six months before, with what was known on the same day of it.
-- Trap: a charge counts on its day in the month of its bill. When it was delivered is not known, so a charge that is
-- delivered late, and has an early day, was forecast better than it could have been.
WITH bounds AS (
    SELECT CAST($month || '-01' AS DATE) AS month_start, last_day(CAST($month || '-01' AS DATE)) AS month_end
),
charged AS MATERIALIZED (
    SELECT
        Provider,
        BillingCurrency,
        ChargeCategory AS category,
        ServiceName,
        CAST(Month || '-01' AS DATE) AS bill,
        least(greatest(Day, bill), last_day(bill)) AS Day,
        sum(EffectiveCost) AS exact_cost,
        CAST(sum(EffectiveCost) AS DOUBLE) AS cost
    FROM marts.daily_costs
    WHERE Month BETWEEN $first_month AND $month AND NOT IsCorrection
    GROUP BY ALL
),
payers AS MATERIALIZED (
    SELECT
        row_number() OVER () AS payer,
        Provider,
        BillingCurrency,
        min(Day) AS first_day,
        coalesce(max(Day) FILTER (category = 'Usage' AND bill = month_start), max(Day)) AS last_usage,
        count(DISTINCT Day) FILTER (category = 'Usage' AND bill = month_start - INTERVAL 1 MONTH) AS days_before,
        max(Day) FILTER (category = 'Usage' AND bill = month_start - INTERVAL 1 MONTH) AS last_before,
        last_usage >= month_end - 2
            OR coalesce(days_before < 15 AND month_end - last_usage <= month_start - last_before + 5, false) AS is_closed,
        CAST(
            CASE
                WHEN is_closed THEN $closed_at
                ELSE greatest(last_usage - month_start + 1 - $late_days, 0)
            END AS INTEGER
        ) AS known_days
    FROM charged, bounds
    GROUP BY Provider, BillingCurrency, month_start, month_end
    HAVING bool_or(bill = month_start)
),
lines AS MATERIALIZED (
    SELECT payer, row_number() OVER () AS line, category, ServiceName, begins
    FROM (
        SELECT payer, category, ServiceName, min(Day) AS begins
        FROM charged
        JOIN payers
            ON charged.Provider IS NOT DISTINCT FROM payers.Provider
            AND charged.BillingCurrency IS NOT DISTINCT FROM payers.BillingCurrency
        GROUP BY ALL
    )
),
costs AS MATERIALIZED (
    SELECT payers.payer, line, bill, Day, exact_cost, cost
    FROM charged
    JOIN payers
        ON charged.Provider IS NOT DISTINCT FROM payers.Provider
        AND charged.BillingCurrency IS NOT DISTINCT FROM payers.BillingCurrency
    JOIN lines
        ON lines.payer = payers.payer
        AND lines.category = charged.category
        AND lines.ServiceName IS NOT DISTINCT FROM charged.ServiceName
),
-- The month itself (0) and the six before it, each with what is known of it. Four weeks have to be there before.
origins AS MATERIALIZED (
    SELECT
        payer,
        months_ago,
        CAST(month_start - to_months(months_ago) AS DATE) AS bill,
        last_day(bill) AS bill_end,
        least(bill + known_days - 1, bill_end) AS as_of,
        first_day <= as_of - 27 AS is_forecast
    FROM payers, bounds, (SELECT CAST(unnest(range(7)) AS INTEGER) AS months_ago)
),
-- Each of the 56 days up to as_of, costs of 0 included.
past AS (
    SELECT months_ago, lines.line, age, as_of - age AS Day, coalesce(sum(cost), 0) AS cost
    FROM origins
    JOIN lines USING (payer)
    CROSS JOIN (SELECT CAST(unnest(range(56)) AS INTEGER) AS age)
    LEFT JOIN costs ON costs.line = lines.line AND costs.Day = as_of - age
    WHERE is_forecast AND category = 'Usage' AND as_of - age >= begins
    GROUP BY ALL
),
weekdays AS MATERIALIZED (
    SELECT
        months_ago,
        line,
        isodow(Day) AS weekday,
        median(cost) FILTER (age < 28) AS recent,
        median(cost) FILTER (age >= 28) AS former
    FROM past
    GROUP BY ALL
),
habits AS (
    SELECT
        months_ago,
        line,
        coalesce(avg(CASE WHEN cost <> 0 THEN 1 ELSE 0 END) FILTER (age < 14), 0) >= 0.5 AS is_daily,
        avg(CASE WHEN cost <> 0 THEN 1 ELSE 0 END) >= 0.5 AND NOT is_daily AS has_ended
    FROM past
    GROUP BY ALL
),
-- The drift of four weeks; 1 without eight weeks, or if there is nothing to compare.
drifts AS (
    SELECT
        months_ago,
        line,
        avg(recent) AS level,
        CASE
            WHEN count(former) = 7 AND sum(former) > 0 AND sum(recent) > 0
            THEN least(greatest(sum(recent) / sum(former), 0.8), 1.25)
            ELSE 1
        END AS drift
    FROM weekdays
    GROUP BY ALL
),
by_day AS (
    SELECT origins.months_ago, lines.line, sum(coalesce(recent, level) * drift ** ((ahead + 13.5) / 28)) AS cost
    FROM origins
    JOIN lines USING (payer)
    JOIN habits USING (months_ago, line)
    JOIN drifts USING (months_ago, line)
    JOIN (SELECT CAST(unnest(range(1, 32)) AS INTEGER) AS ahead) ON as_of + ahead <= bill_end
    LEFT JOIN weekdays
        ON weekdays.months_ago = origins.months_ago
        AND weekdays.line = lines.line
        AND weekdays.weekday = isodow(as_of + ahead)
    WHERE is_daily
    GROUP BY ALL
),
-- What the last two months had after this day of the month; above: of it, what rose above twice the usual of a weekday.
later AS (
    SELECT
        origins.months_ago,
        costs.line,
        coalesce(sum(cost) FILTER (costs.bill = origins.bill - INTERVAL 1 MONTH), 0) AS cost,
        coalesce(sum(cost) FILTER (costs.bill = origins.bill - INTERVAL 2 MONTH), 0) AS cost_before,
        coalesce(sum(cost - recent) FILTER (cost > 2 * recent AND costs.bill = origins.bill - INTERVAL 1 MONTH), 0) AS above,
        coalesce(sum(cost - recent) FILTER (cost > 2 * recent AND costs.bill = origins.bill - INTERVAL 2 MONTH), 0)
            AS above_before
    FROM origins
    JOIN costs
        ON costs.payer = origins.payer
        AND costs.bill BETWEEN origins.bill - INTERVAL 2 MONTH AND origins.bill - INTERVAL 1 MONTH
        AND costs.Day - costs.bill > as_of - origins.bill
    LEFT JOIN weekdays
        ON weekdays.months_ago = origins.months_ago
        AND weekdays.line = costs.line
        AND weekdays.weekday = isodow(costs.Day)
    WHERE is_forecast
    GROUP BY ALL
),
-- The month two before is unknown where the history begins after it.
remaining AS (
    SELECT
        months_ago,
        payer,
        sum(
            CASE
                WHEN is_daily THEN by_day.cost + least(coalesce(above, 0), coalesce(above_before, 0))
                WHEN has_ended THEN 0
                WHEN cost_before <> 0 OR first_day > origins.bill - INTERVAL 2 MONTH THEN later.cost
                ELSE 0
            END
        ) AS cost
    FROM origins
    JOIN payers USING (payer)
    JOIN lines USING (payer)
    LEFT JOIN habits USING (months_ago, line)
    LEFT JOIN by_day USING (months_ago, line)
    LEFT JOIN later USING (months_ago, line)
    GROUP BY ALL
),
sums AS (
    SELECT
        payer,
        months_ago,
        as_of,
        is_forecast,
        coalesce(sum(exact_cost) FILTER (Day <= as_of), 0) AS so_far,
        sum(exact_cost) AS actual
    FROM origins
    LEFT JOIN costs USING (payer, bill)
    GROUP BY ALL
),
forecasts AS MATERIALIZED (
    SELECT
        sums.*,
        CASE WHEN is_forecast THEN CAST(so_far AS DOUBLE) + coalesce(remaining.cost, 0) END AS forecast,
        CASE WHEN actual > 0 THEN abs(forecast / CAST(actual AS DOUBLE) - 1) END AS error
    FROM sums
    LEFT JOIN remaining USING (payer, months_ago)
),
-- Four to six past errors: the largest of them covers four of five to come. With fewer, at least a quarter is allowed.
errors AS (
    SELECT
        payer,
        median(error) AS past_error,
        count(error) AS past_months,
        CASE WHEN count(error) >= 4 THEN max(error) ELSE greatest(coalesce(max(error), 0), 0.25) END AS width
    FROM forecasts
    WHERE months_ago > 0
    GROUP BY payer
)
SELECT
    $month AS Month,
    Provider,
    BillingCurrency,
    now.as_of AS KnownUntil,
    now.so_far AS CostSoFar,
    CAST(now.forecast AS DECIMAL(38, 6)) AS Forecast,
    -- greatest() and least() leave out what is null.
    CASE
        WHEN now.forecast IS NOT NULL THEN CAST(
            greatest(now.forecast - width * abs(now.forecast), least(CAST(now.so_far AS DOUBLE), now.forecast))
            AS DECIMAL(38, 6)
        )
    END AS Low,
    CAST(now.forecast + width * abs(now.forecast) AS DECIMAL(38, 6)) AS High,
    past_error AS PastError,
    past_months AS PastMonths,
    last_month.actual AS LastMonth,
    CASE WHEN is_closed THEN now.actual END AS Actual,
    CASE WHEN is_closed THEN now.error END AS Error
FROM payers
JOIN forecasts AS now ON now.payer = payers.payer AND now.months_ago = 0
LEFT JOIN forecasts AS last_month ON last_month.payer = payers.payer AND last_month.months_ago = 1
LEFT JOIN errors ON errors.payer = payers.payer
ORDER BY abs(now.forecast) DESC NULLS LAST
