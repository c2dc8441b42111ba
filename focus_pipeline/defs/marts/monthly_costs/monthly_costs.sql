-- Costs by provider, service, sub-account and region.
--
-- Month: x_Month, the month of the invoice. Corrections carry the charge period of an older month and count here, too.
-- Names: an id can have several names in a month. The alphabetically last one is shown, so that a name never splits a
-- cost.
SELECT
    x_Month AS Month,
    ServiceProviderName AS Provider,
    ServiceCategory,
    ServiceName,
    SubAccountId,
    max(SubAccountName) AS SubAccountName,
    RegionId,
    max(RegionName) AS RegionName,
    BillingCurrency,
    count(*) AS "Rows",
    coalesce(sum(BilledCost), 0) AS BilledCost,
    coalesce(sum(EffectiveCost), 0) AS EffectiveCost
FROM focus.cost_and_usage
WHERE x_Month = $month
GROUP BY x_Month, ServiceProviderName, ServiceCategory, ServiceName, SubAccountId, RegionId, BillingCurrency
ORDER BY abs(sum(EffectiveCost)) DESC NULLS LAST
