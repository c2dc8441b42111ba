-- Use and waste of commitments.
--
-- Used and unused: rows of ChargeCategory 'Usage', by CommitmentDiscountStatus. Their EffectiveCost is the price of the
-- commitment, spread over them. Purchases have the same price in BilledCost: adding both counts it twice.
-- Corrections count in the month of their invoice.
WITH committed AS (
    SELECT
        *,
        ChargeCategory = 'Usage' AND CommitmentDiscountStatus = 'Used' AS is_used,
        ChargeCategory = 'Usage' AND CommitmentDiscountStatus = 'Unused' AS is_unused
    FROM focus.cost_and_usage
    WHERE x_Month = $month AND CommitmentDiscountId IS NOT NULL
),
sums AS (
    SELECT
        x_Month AS Month,
        ServiceProviderName AS Provider,
        CommitmentDiscountId,
        max(CommitmentDiscountName) AS CommitmentDiscountName,
        max(CommitmentDiscountType) AS CommitmentDiscountType,
        max(CommitmentDiscountCategory) AS CommitmentDiscountCategory,
        CommitmentDiscountUnit,
        BillingCurrency,
        coalesce(sum(EffectiveCost) FILTER (is_used), 0) AS UsedCost,
        coalesce(sum(EffectiveCost) FILTER (is_unused), 0) AS UnusedCost,
        sum(CommitmentDiscountQuantity) FILTER (is_used) AS UsedQuantity,
        sum(CommitmentDiscountQuantity) FILTER (is_unused) AS UnusedQuantity,
        coalesce(sum(BilledCost) FILTER (ChargeCategory = 'Purchase'), 0) AS PurchaseCost
    FROM committed
    GROUP BY x_Month, ServiceProviderName, CommitmentDiscountId, CommitmentDiscountUnit, BillingCurrency
)
SELECT
    Month,
    Provider,
    CommitmentDiscountId,
    CommitmentDiscountName,
    CommitmentDiscountType,
    CommitmentDiscountCategory,
    CommitmentDiscountUnit,
    BillingCurrency,
    UsedCost,
    UnusedCost,
    CAST(UsedCost AS DOUBLE) / nullif(CAST(UsedCost + UnusedCost AS DOUBLE), 0) AS Utilisation,
    UsedQuantity,
    UnusedQuantity,
    PurchaseCost
FROM sums
ORDER BY UnusedCost DESC, UsedCost DESC
