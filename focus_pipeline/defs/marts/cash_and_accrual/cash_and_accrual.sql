-- Cash beside accrual.
--
-- The purchase of a commitment has its price in BilledCost and 0 in EffectiveCost; the usage that it covers has the
-- reverse. So PrepaidChange is what the month adds to, or takes from, prepaid costs.
-- IsCorrection: ChargeClass is null unless a charge is a correction.
SELECT
    x_Month AS Month,
    ServiceProviderName AS Provider,
    ChargeCategory,
    ChargeClass IS NOT DISTINCT FROM 'Correction' AS IsCorrection,
    BillingCurrency,
    count(*) AS "Rows",
    coalesce(sum(BilledCost), 0) AS BilledCost,
    coalesce(sum(EffectiveCost), 0) AS EffectiveCost,
    coalesce(sum(BilledCost), 0) - coalesce(sum(EffectiveCost), 0) AS PrepaidChange
FROM focus.cost_and_usage
WHERE x_Month = $month
GROUP BY ALL
ORDER BY Provider, ChargeCategory, IsCorrection, BillingCurrency
