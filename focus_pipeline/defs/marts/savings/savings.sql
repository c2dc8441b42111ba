-- Savings on usage: list price -> negotiated price -> effective cost.
--
-- Scope: ChargeCategory 'Usage', with the unused part of commitments, because it reduces what they save. Purchases are
-- left out, because EffectiveCost spreads them over the usage. Tax, credits and adjustments have no price.
-- Without a list price: no ListCost, or a ListCost of 0 for a charge that costs something (Marketplace, for example).
-- Such charges would make the rate too low.
-- Without a contracted price, as in Oracle's exports: what a charge saves is negotiated, unless a commitment covers it.
-- EffectiveSavingsRate is a rate of sums: rates of rows cannot be averaged.
WITH usage AS (
    SELECT
        x_Month AS Month,
        ServiceProviderName AS Provider,
        ServiceName,
        BillingCurrency,
        coalesce(ListCost, 0) AS ListCost,
        coalesce(
            ContractedCost, CASE WHEN CommitmentDiscountId IS NULL THEN EffectiveCost ELSE ListCost END, EffectiveCost, 0
        ) AS ContractedCost,
        coalesce(EffectiveCost, 0) AS EffectiveCost,
        CommitmentDiscountStatus IS NOT DISTINCT FROM 'Unused'
            OR coalesce(ListCost, 0) <> 0
            OR (ListCost = 0 AND coalesce(EffectiveCost, 0) = 0) AS has_list_price
    FROM focus.cost_and_usage
    WHERE x_Month = $month AND ChargeCategory = 'Usage'
),
sums AS (
    SELECT
        Month,
        Provider,
        ServiceName,
        BillingCurrency,
        coalesce(sum(ListCost) FILTER (has_list_price), 0) AS ListCost,
        coalesce(sum(ContractedCost) FILTER (has_list_price), 0) AS ContractedCost,
        coalesce(sum(EffectiveCost) FILTER (has_list_price), 0) AS EffectiveCost,
        coalesce(sum(EffectiveCost) FILTER (NOT has_list_price), 0) AS EffectiveCostWithoutListPrice
    FROM usage
    GROUP BY ALL
)
SELECT
    Month,
    Provider,
    ServiceName,
    BillingCurrency,
    ListCost,
    ContractedCost,
    EffectiveCost,
    ListCost - ContractedCost AS NegotiatedSavings,
    ContractedCost - EffectiveCost AS CommitmentSavings,
    CAST(ListCost - EffectiveCost AS DOUBLE) / nullif(CAST(ListCost AS DOUBLE), 0) AS EffectiveSavingsRate,
    EffectiveCostWithoutListPrice,
    CAST(EffectiveCostWithoutListPrice AS DOUBLE)
        / nullif(CAST(EffectiveCost + EffectiveCostWithoutListPrice AS DOUBLE), 0) AS ShareWithoutListPrice
FROM sums
ORDER BY abs(ListCost - EffectiveCost) DESC
