-- One row for each service and currency. $month is the month that is computed, YYYY-MM.
SELECT
    x_Month AS Month,
    ServiceName,
    BillingCurrency,
    sum(BilledCost) AS BilledCost,
    sum(EffectiveCost) AS EffectiveCost
FROM focus.cost_and_usage
WHERE x_Month = $month
GROUP BY ALL
ORDER BY abs(sum(EffectiveCost)) DESC
