-- Marketplace, credits, refunds and corrections.
--
-- Correction (ChargeClass) comes first, because a corrected credit is a correction. It counts in the month of its
-- invoice; CorrectedMonth is the month of its charge period.
-- Refund: a negative BilledCost that is neither a credit nor a correction.
-- Marketplace: the publisher is not the provider, not the invoice issuer, and not one of the providers' own names.
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
