-- Cash beside accrual.
--
-- A purchase of a commitment has its price in BilledCost and 0 in EffectiveCost; the usage that it covers has it the
-- other way round. PrepaidChange is therefore what the month adds to, or takes from, what is paid for in advance.
-- IsCorrection: ChargeClass is null for what is no correction.
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
