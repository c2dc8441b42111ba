-- Marketplace, credits, refunds and corrections.
--
-- Corrections: ChargeClass; they come before the other kinds, for a corrected credit is a correction. They count in the
-- month of their invoice, and CorrectedMonth has the month of their charge period.
-- Refund: a negative BilledCost of something else than a credit or a correction.
-- Marketplace: the publisher is neither the provider, nor who sends the invoice, nor a provider's own name.
WITH charges AS (
    SELECT
        x_Month AS Month,
        ServiceProviderName AS Provider,
        InvoiceIssuerName,
        coalesce(PublisherName, ServiceProviderName) AS Seller,
        CASE
            WHEN ChargeClass IS NOT DISTINCT FROM 'Correction' THEN 'Correction'
            WHEN ChargeCategory = 'Credit' THEN 'Credit'
            WHEN BilledCost < 0 THEN 'Refund'
            WHEN PublisherName IS DISTINCT FROM ServiceProviderName
                AND PublisherName IS DISTINCT FROM InvoiceIssuerName
                AND NOT list_contains(CAST($own_publishers AS VARCHAR[]), PublisherName) THEN 'Marketplace'
        END AS Kind,
        ServiceName,
        CASE WHEN ChargeClass IS NOT DISTINCT FROM 'Correction' THEN strftime(ChargePeriodStart, '%Y-%m') END
            AS CorrectedMonth,
        BillingCurrency,
        coalesce(BilledCost, 0) AS BilledCost,
        coalesce(EffectiveCost, 0) AS EffectiveCost
    FROM focus.cost_and_usage
    WHERE x_Month = $month
)
SELECT
    Month,
    Provider,
    InvoiceIssuerName,
    Seller,
    Kind,
    ServiceName,
    CorrectedMonth,
    BillingCurrency,
    count(*) AS "Rows",
    sum(BilledCost) AS BilledCost,
    sum(EffectiveCost) AS EffectiveCost
FROM charges
WHERE Kind IS NOT NULL
GROUP BY ALL
ORDER BY Kind, abs(sum(BilledCost)) DESC
