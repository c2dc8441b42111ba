-- Sum of BilledCost by invoice.
--
-- Rounding: providers round an invoice to cents, per line or as a whole; the table is exact. Expect a difference of a
-- few cents.
SELECT
    x_Month AS Month,
    InvoiceIssuerName,
    InvoiceId,
    BillingAccountId,
    BillingCurrency,
    count(*) AS "Rows",
    coalesce(sum(BilledCost) FILTER (ChargeCategory = 'Tax'), 0) AS Tax,
    coalesce(sum(BilledCost) FILTER (ChargeCategory = 'Credit'), 0) AS Credit,
    coalesce(sum(BilledCost), 0) AS BilledCost,
    coalesce(sum(EffectiveCost), 0) AS EffectiveCost
FROM focus.cost_and_usage
WHERE x_Month = $month
GROUP BY ALL
ORDER BY InvoiceIssuerName, InvoiceId, BillingAccountId, BillingCurrency
