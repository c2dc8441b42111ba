-- Budgets beside what they have cost, and what they will.
--
-- $budgets: JSON objects, a text each; docs/budgets.md has their fields. A field that is unknown or lacking is an error.
-- Actual: EffectiveCost of the charges that fit, corrections included; of a year, from its January to this month.
-- Forecast: what has been charged of each provider, times what the mart forecast expects of it, divided by what it has
-- cost so far. It is taken for granted that the charges of a budget go on as those of their provider do. The months of a
-- year that are to come are taken to cost what this one will.
WITH given AS (
    SELECT CAST(unnest(CAST($budgets AS VARCHAR[])) AS JSON) AS budget
),
budgets AS MATERIALIZED (
    SELECT
        CASE
            WHEN (budget ->> '$.name') IS NULL
                OR (budget ->> '$.amount') IS NULL
                OR (budget ->> '$.currency') IS NULL
                OR (budget ->> '$.period') NOT IN ('month', 'year')
                OR ((budget ->> '$.tag_key') IS NULL) <> ((budget ->> '$.tag_value') IS NULL)
                OR len(list_filter(json_keys(budget), lambda field: NOT list_contains(
                    [
                        'name', 'amount', 'currency', 'period', 'provider', 'sub_account', 'tag_key', 'tag_value',
                        'ai_model'
                    ],
                    field
                ))) > 0
            THEN error(
                'a budget needs name, amount and currency; it may have period (month or year), provider, sub_account, '
                || 'tag_key with tag_value, and ai_model: ' || CAST(budget AS VARCHAR)
            )
            ELSE budget ->> '$.name'
        END AS Budget,
        coalesce(budget ->> '$.period', 'month') AS Period,
        budget ->> '$.currency' AS BillingCurrency,
        CAST(budget ->> '$.amount' AS DECIMAL(38, 18)) AS Amount,
        budget ->> '$.provider' AS of_provider,
        budget ->> '$.sub_account' AS of_sub_account,
        '$."' || replace(budget ->> '$.tag_key', '"', '\"') || '"' AS tag_path,
        budget ->> '$.tag_value' AS tag_value,
        budget ->> '$.ai_model' AS ai_model
    FROM given
),
charges AS (
    SELECT x_Month AS Month, ServiceProviderName AS Provider, SubAccountId, Tags, NULL AS Model, BillingCurrency,
        EffectiveCost
    FROM focus.cost_and_usage
    WHERE x_Month BETWEEN $first_month AND $month
    UNION ALL
    SELECT Month, Provider, SubAccountId, Tags, Model, BillingCurrency, EffectiveCost
    FROM marts.ai_costs
    WHERE Month BETWEEN $first_month AND $month AND Model IS NOT NULL
),
costs AS (
    SELECT Budget, charges.Provider, charges.Month = $month AS is_this_month, sum(EffectiveCost) AS cost
    FROM budgets
    JOIN charges
        ON charges.BillingCurrency = budgets.BillingCurrency
        AND charges.Model IS NOT DISTINCT FROM ai_model
        AND (charges.Month = $month OR (Period = 'year' AND charges.Month[:4] = $month[:4]))
        AND (of_provider IS NULL OR charges.Provider = of_provider)
        AND (of_sub_account IS NULL OR charges.SubAccountId = of_sub_account)
        AND (tag_path IS NULL OR trim(json_extract_string(charges.Tags, tag_path)) = tag_value)
    GROUP BY ALL
),
-- How much a provider will cost, as a multiple of what it has cost.
growth AS (
    SELECT
        forecast.Provider,
        forecast.BillingCurrency,
        CASE
            WHEN Actual IS NOT NULL THEN 1
            ELSE greatest(CAST(Forecast AS DOUBLE) / nullif(CAST(sum(EffectiveCost) AS DOUBLE), 0), 1)
        END AS factor
    FROM marts.forecast
    JOIN marts.daily_costs
        ON daily_costs.Month = forecast.Month
        AND daily_costs.Provider IS NOT DISTINCT FROM forecast.Provider
        AND daily_costs.BillingCurrency IS NOT DISTINCT FROM forecast.BillingCurrency
        AND NOT IsCorrection
    WHERE forecast.Month = $month
    GROUP BY forecast.Provider, forecast.BillingCurrency, Actual, Forecast
),
sums AS (
    SELECT
        budgets.Budget,
        coalesce(sum(cost), 0) AS actual,
        coalesce(sum(cost) FILTER (NOT is_this_month), 0) AS earlier,
        coalesce(sum(CAST(cost AS DOUBLE) * coalesce(factor, 1)) FILTER (is_this_month), 0) AS this_month
    FROM budgets
    LEFT JOIN costs ON costs.Budget = budgets.Budget
    LEFT JOIN growth
        ON growth.Provider IS NOT DISTINCT FROM costs.Provider AND growth.BillingCurrency = budgets.BillingCurrency
    GROUP BY ALL
)
SELECT
    $month AS Month,
    Budget,
    Period,
    BillingCurrency,
    Amount,
    actual AS Actual,
    CAST(
        CASE Period
            WHEN 'year' THEN CAST(earlier AS DOUBLE) + this_month * (13 - CAST($month[6:] AS INTEGER))
            ELSE this_month
        END AS DECIMAL(38, 6)
    ) AS Forecast,
    CAST(actual AS DOUBLE) / nullif(CAST(Amount AS DOUBLE), 0) AS UsedShare,
    CAST(Forecast AS DOUBLE) / nullif(CAST(Amount AS DOUBLE), 0) AS ForecastShare
FROM budgets
JOIN sums USING (Budget)
ORDER BY ForecastShare DESC
