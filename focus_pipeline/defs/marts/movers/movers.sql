-- Change of EffectiveCost against the month before.
--
-- For usage that has a quantity in both months: QuantityChange = CostBefore x (Quantity / QuantityBefore) -
-- CostBefore, PriceChange = Change - QuantityChange. Usage that is new or gone changes by quantity only. Charges
-- without a quantity in one of the months (tax, credits, fees) are not split: both parts are null. The price is
-- EffectiveCost / PricingQuantity: if a commitment covers more, that is a price change, too. Without a month before,
-- as in the first month, there are no rows: everything would be new.
WITH charges AS (
    SELECT
        x_Month = $month AS is_now,
        ServiceProviderName AS Provider,
        ServiceName,
        SubAccountId,
        SkuPriceId,
        CASE WHEN ChargeClass IS NOT DISTINCT FROM 'Correction' THEN 'Correction' ELSE ChargeCategory END AS Kind,
        BillingCurrency,
        coalesce(EffectiveCost, 0) AS EffectiveCost,
        PricingQuantity
    FROM focus.cost_and_usage
    WHERE x_Month BETWEEN $first_month AND $month
),
sums AS (
    SELECT
        Provider,
        ServiceName,
        SubAccountId,
        SkuPriceId,
        Kind,
        BillingCurrency,
        coalesce(sum(EffectiveCost) FILTER (NOT is_now), 0) AS CostBefore,
        coalesce(sum(EffectiveCost) FILTER (is_now), 0) AS Cost,
        sum(PricingQuantity) FILTER (NOT is_now) AS QuantityBefore,
        sum(PricingQuantity) FILTER (is_now) AS Quantity,
        bool_or(is_now) AS is_there,
        bool_or(NOT is_now) AS was_there
    FROM charges
    GROUP BY ALL
),
split AS (
    SELECT
        *,
        Cost - CostBefore AS Change,
        CASE
            WHEN Kind <> 'Usage' THEN NULL
            WHEN NOT (is_there AND was_there) THEN Cost - CostBefore
            WHEN QuantityBefore <> 0 AND Quantity IS NOT NULL THEN CAST(
                CAST(CostBefore AS DOUBLE) * (CAST(Quantity AS DOUBLE) / CAST(QuantityBefore AS DOUBLE) - 1)
                AS DECIMAL(38, 6)
            )
        END AS QuantityChange
    FROM sums
    WHERE EXISTS (FROM charges WHERE NOT is_now)
)
SELECT
    $month AS Month,
    Provider,
    ServiceName,
    SubAccountId,
    SkuPriceId,
    Kind,
    BillingCurrency,
    CostBefore,
    Cost,
    Change,
    QuantityChange,
    Change - QuantityChange AS PriceChange,
    CASE WHEN NOT was_there THEN 'new' WHEN NOT is_there THEN 'gone' ELSE 'changed' END AS Movement
FROM split
WHERE Change <> 0 OR QuantityChange <> 0
ORDER BY abs(Change) DESC
