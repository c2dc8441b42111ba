-- Days on which a service costs more or less than its past suggests. docs/anomalies.md has the method and weaknesses.
--
-- Series: usage of a service in one currency, and of each large sub-account of it. Purchases, tax, credits and
-- corrections are no usage. A day without a charge costs 0.
-- Expected: the median of the same weekday in the eight weeks before. Deviation: ln((cost + floor) / (expected +
-- floor)); the floor, $least_difference, keeps small amounts quiet and lets 0 have a logarithm. Score: the deviation
-- less its median of twelve weeks, in units of 1.4826 x MAD. Only days before the day itself are asked, so that a day that
-- was flagged stays flagged when later days arrive.
-- Habit: a deviation that the series has shown before, as a ratio or an amount, is not listed: once at this place of the month
-- before, or twice at all. What began in the last week is not a habit yet.
-- Late days: among the last $late_days days of a provider, those on which less than half of its services reach 80 % of
-- what they should cost. They are being delivered: what is low on them is not listed, what is high is.
-- Trap: Month is x_Month, Day may lie in another month. A slice lists the days of the calendar month, by the bills up
-- to it.
WITH bounds AS (
    SELECT
        CAST($first_month || '-01' AS DATE) AS first_day,
        CAST($month || '-01' AS DATE) AS month_start,
        last_day(CAST($month || '-01' AS DATE)) AS month_end
),
charged AS MATERIALIZED (
    SELECT Day, Provider, ServiceName, SubAccountId, BillingCurrency, sum(EffectiveCost) AS Cost
    FROM marts.daily_costs, bounds
    WHERE Month BETWEEN $first_month AND $month
        AND Day BETWEEN first_day AND month_end
        AND ChargeCategory = 'Usage'
        AND NOT IsCorrection
    GROUP BY ALL
),
large AS (
    SELECT Provider, ServiceName, SubAccountId, BillingCurrency
    FROM charged
    GROUP BY Provider, ServiceName, SubAccountId, BillingCurrency
    QUALIFY count(*) OVER (PARTITION BY Provider, ServiceName, BillingCurrency) > 1
        AND sum(Cost) >= $large_sub_account * sum(sum(Cost)) OVER (PARTITION BY Provider, BillingCurrency)
),
costs AS (
    SELECT Provider, ServiceName, NULL AS SubAccountId, BillingCurrency, Day, sum(Cost) AS Cost
    FROM charged
    GROUP BY ALL
    UNION ALL
    SELECT Provider, ServiceName, SubAccountId, BillingCurrency, Day, Cost
    FROM charged
    SEMI JOIN large
        ON charged.Provider IS NOT DISTINCT FROM large.Provider
        AND charged.ServiceName IS NOT DISTINCT FROM large.ServiceName
        AND charged.SubAccountId = large.SubAccountId
        AND charged.BillingCurrency IS NOT DISTINCT FROM large.BillingCurrency
),
-- A series that never costs as much as the floor cannot be off by it.
series AS MATERIALIZED (
    SELECT
        Provider,
        ServiceName,
        SubAccountId,
        BillingCurrency,
        row_number() OVER () AS id,
        list({'Day': Day, 'Cost': Cost}) AS costs,
        min(Day) AS begins,
        count(*) OVER (PARTITION BY Provider, ServiceName, SubAccountId) > 1 AS has_other_currency,
        min(min(Day)) OVER (PARTITION BY Provider) AS first_day,
        max(max(Day)) OVER (PARTITION BY Provider) AS last_day
    FROM costs
    GROUP BY Provider, ServiceName, SubAccountId, BillingCurrency
    QUALIFY last_day >= (SELECT month_start FROM bounds) AND max(Cost) >= $least_difference
),
days AS (
    SELECT id, Day, sum(Cost) AS exact_cost, CAST(sum(Cost) AS DOUBLE) AS cost
    FROM (
        SELECT id, unnest(costs, recursive := true) FROM series
        UNION ALL
        SELECT id, CAST(unnest(generate_series(first_day, last_day, INTERVAL 1 DAY)) AS DATE), 0 FROM series
    )
    GROUP BY id, Day
),
-- near: four to eight weeks ago. far: nine to thirteen weeks ago.
compared AS (
    SELECT
        *,
        CASE WHEN count(*) OVER eight_weeks >= 4 THEN greatest(median(cost) OVER eight_weeks, 0) END AS usual,
        CASE WHEN count(*) OVER near_weeks >= 3 THEN greatest(median(cost) OVER near_weeks, 0) END AS near,
        CASE WHEN count(*) OVER far_weeks >= 3 THEN greatest(median(cost) OVER far_weeks, 0) END AS far
    FROM days
    WINDOW
        eight_weeks AS (PARTITION BY id, isodow(Day) ORDER BY Day ROWS BETWEEN 8 PRECEDING AND 1 PRECEDING),
        near_weeks AS (PARTITION BY id, isodow(Day) ORDER BY Day ROWS BETWEEN 8 PRECEDING AND 4 PRECEDING),
        far_weeks AS (PARTITION BY id, isodow(Day) ORDER BY Day ROWS BETWEEN 13 PRECEDING AND 9 PRECEDING)
),
deviations AS (
    SELECT
        *,
        ln((greatest(cost, 0) + $least_difference) / (usual + $least_difference)) AS deviation,
        ln((greatest(cost, 0) + $least_difference) / (near + $least_difference)) AS from_near,
        CASE
            WHEN far > 0 THEN ln((greatest(cost, 0) + $least_difference) / (far + $least_difference))
        END AS from_far
    FROM compared
),
centred AS (
    SELECT
        *,
        -- Where nothing was expected, a deviation says nothing of how far the series is usually off.
        CASE
            WHEN count(deviation) FILTER (usual > 0) OVER past < 14 THEN 0
            ELSE median(deviation) FILTER (usual > 0) OVER past
        END AS centre,
        -- From the level of the last two weeks, so that a step in the past does not pass for noise.
        abs(deviation - median(deviation) FILTER (usual > 0) OVER two_weeks) AS distance,
        avg(CASE WHEN cost > 0 THEN 1 ELSE 0 END) OVER past AS active,
        count(from_far) FILTER (cost > 0) OVER week AS active_days,
        median(from_near) FILTER (cost > 0) OVER week AS above_near,
        median(from_far) FILTER (cost > 0) OVER week AS above_far,
        median(cost - far) FILTER (cost > 0) OVER week AS more_than_far
    FROM deviations
    WINDOW
        past AS (PARTITION BY id ORDER BY Day ROWS BETWEEN 84 PRECEDING AND 1 PRECEDING),
        two_weeks AS (PARTITION BY id ORDER BY Day ROWS BETWEEN 14 PRECEDING AND 1 PRECEDING),
        week AS (PARTITION BY id ORDER BY Day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)
),
scored AS MATERIALIZED (
    SELECT
        centred.*,
        -- From the ninth week on, the usual cost of a new service is that of its use.
        usual IS NOT NULL AND (begins = first_day OR Day >= begins + 63) AS is_settled,
        (usual + $least_difference) * exp(centre) - $least_difference AS expected,
        -- With less than two weeks of deviations, their MAD says little.
        CASE
            WHEN count(distance) FILTER (usual > 0) OVER past < 14 THEN 0.3
            ELSE greatest(1.4826 * median(distance) FILTER (usual > 0) OVER past, 0.05)
        END AS spread,
        (deviation - centre) / spread AS score
    FROM centred
    JOIN series USING (id)
    WINDOW past AS (PARTITION BY id ORDER BY Day ROWS BETWEEN 84 PRECEDING AND 1 PRECEDING)
),
late AS (
    SELECT Provider, Day
    FROM scored
    JOIN series USING (id)
    WHERE Day > last_day - CAST($late_days AS INTEGER) AND SubAccountId IS NULL
        AND active >= 0.5 AND usual >= $least_difference
    GROUP BY ALL
    HAVING avg(CASE WHEN cost >= 0.8 * usual THEN 1 ELSE 0 END) < 0.5
),
-- From 45 days before the month on, so that an episode keeps its first day.
candidates AS (
    SELECT
        *,
        abs(score) >= $least_score
            AND abs(cost - expected) >= greatest($least_difference, $least_change * expected)
            AND (cost > expected OR active >= 0.5) AS is_sudden,
        far > 0
            AND active >= 0.5
            AND active_days >= 4
            AND abs(more_than_far) >= $least_difference
            AND abs(above_far) >= greatest(ln($slow_factor), 2 * spread)
            AND abs(above_near) >= ln(1.15)
            AND sign(above_near) = sign(above_far) AS is_slow,
        sign(cost - expected) AS side
    FROM scored
    WHERE Day >= (SELECT month_start FROM bounds) - 45 AND (is_sudden OR is_slow)
),
habits AS (
    SELECT candidates.id, candidates.Day
    FROM candidates
    JOIN scored AS earlier
        ON earlier.id = candidates.id
        AND earlier.Day <= candidates.Day - 7
        AND (
            CASE
                WHEN earlier.is_settled
                THEN candidates.side * (earlier.deviation - candidates.deviation) >= -ln(1.5)
                    OR (
                        candidates.side > 0
                        AND earlier.cost - earlier.usual >= (candidates.cost - candidates.usual) / 1.5
                    )
                ELSE candidates.side > 0 AND earlier.cost >= candidates.cost / 1.5
            END
            -- The usual cost of a series with days off may be low by chance.
            OR (
                candidates.side > 0
                AND isodow(earlier.Day) = isodow(candidates.Day)
                AND earlier.Day >= candidates.Day - 56
                AND earlier.cost >= candidates.cost / 1.5
            )
        )
    WHERE is_sudden
    GROUP BY ALL
    HAVING count(*) FILTER (earlier.usual >= 0 AND day(earlier.Day) > 2 AND last_day(earlier.Day) - earlier.Day > 2) >= 2
        OR bool_or(
            date_trunc('month', earlier.Day) = date_trunc('month', candidates.Day) - INTERVAL 1 MONTH
            AND (
                abs(day(earlier.Day) - day(candidates.Day)) <= 2
                OR abs(
                    (last_day(earlier.Day) - earlier.Day) - (last_day(candidates.Day) - candidates.Day)
                ) <= 2
            )
        )
),
flagged AS (
    SELECT
        candidates.*,
        series.* EXCLUDE (id, costs, first_day),
        is_sudden AND habits.Day IS NULL AS is_flagged_suddenly,
        CASE WHEN is_flagged_suddenly THEN side ELSE sign(above_far) END AS direction
    FROM candidates
    JOIN series USING (id)
    LEFT JOIN habits ON habits.id = candidates.id AND habits.Day = candidates.Day
    LEFT JOIN late ON late.Provider IS NOT DISTINCT FROM series.Provider AND late.Day = candidates.Day
    WHERE (is_flagged_suddenly OR is_slow) AND (direction > 0 OR late.Day IS NULL)
),
begun AS (
    SELECT
        *,
        Day - lag(Day, 1, DATE '1900-01-01') OVER (PARTITION BY id, direction ORDER BY Day) > 7 AS is_first
    FROM flagged
),
episodes AS (
    SELECT *, max(CASE WHEN is_first THEN Day END) OVER (PARTITION BY id, direction ORDER BY Day) AS Since
    FROM begun
)
SELECT
    $month AS Month,
    Day,
    Provider,
    ServiceName,
    SubAccountId,
    BillingCurrency,
    CASE
        WHEN direction > 0 AND begins > Day - 8 AND has_other_currency THEN 'new currency'
        WHEN direction > 0 AND begins > Day - 8 THEN 'new'
        WHEN NOT is_flagged_suddenly THEN CASE WHEN direction > 0 THEN 'rising' ELSE 'falling' END
        WHEN direction > 0 THEN 'high'
        WHEN cost <= 0.05 * expected THEN 'missing'
        ELSE 'low'
    END AS Kind,
    Since,
    exact_cost AS Cost,
    CAST(CASE WHEN is_flagged_suddenly THEN expected ELSE far END AS DECIMAL(38, 6)) AS ExpectedCost,
    exact_cost - ExpectedCost AS Difference,
    CASE WHEN is_flagged_suddenly THEN score ELSE above_far / spread END AS Score
FROM episodes
WHERE Day >= (SELECT month_start FROM bounds)
ORDER BY Day DESC, abs(Difference) DESC
