-- Costs by day.
--
-- Day: of ChargePeriodStart, which is in UTC. A charge that lasts longer than a day counts on its first one.
-- IsCorrection: ChargeClass is null for what is no correction, so `ChargeClass <> 'Correction'` would drop every row.
SELECT
    x_Month AS Month,
    CAST(ChargePeriodStart AS DATE) AS Day,
    ServiceProviderName AS Provider,
    ServiceName,
    SubAccountId,
    ChargeCategory,
    ChargeClass IS NOT DISTINCT FROM 'Correction' AS IsCorrection,
    BillingCurrency,
    coalesce(sum(BilledCost), 0) AS BilledCost,
    coalesce(sum(EffectiveCost), 0) AS EffectiveCost
FROM focus.cost_and_usage
WHERE x_Month = $month
GROUP BY ALL
ORDER BY Day, abs(sum(EffectiveCost)) DESC NULLS LAST
