-- Costs by day.
--
-- Day: that of ChargePeriodStart, which is in UTC. A charge for a longer period counts on its first day.
-- IsCorrection: ChargeClass is null unless a charge is a correction, so `ChargeClass <> 'Correction'` drops every row.
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
