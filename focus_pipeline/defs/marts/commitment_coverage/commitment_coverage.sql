-- Coverage by commitments: covered / eligible.
--
-- Both at ContractedCost, the price without a commitment: EffectiveCost of covered usage is lower, and coverage by it
-- would fall the more a commitment saves. A charge without ContractedCost has its EffectiveCost, or if a commitment
-- covers it, its ListCost.
-- Eligible: usage at PricingCategory 'Standard' or 'Committed' of a service that some commitment covers in this month.
-- No commitment covers spot and other dynamic prices, and the unused part of a commitment is not usage. From FOCUS 1.4
-- on, CommitmentProgramEligibilityDetails says which usage is eligible; if a provider sends it for a service, it
-- decides. Corrections count in the month of their invoice.
WITH usage AS (
    SELECT
        x_Month AS Month,
        ServiceProviderName AS Provider,
        ServiceName,
        BillingCurrency,
        coalesce(
            ContractedCost, CASE WHEN CommitmentDiscountId IS NULL THEN EffectiveCost ELSE ListCost END, EffectiveCost, 0
        ) AS ContractedCost,
        CommitmentDiscountStatus IS NOT DISTINCT FROM 'Used' AS is_covered,
        CommitmentProgramEligibilityDetails IS NOT NULL AS says_eligible,
        bool_or(CommitmentDiscountStatus IS NOT DISTINCT FROM 'Used') OVER of_service AS has_commitments,
        bool_or(CommitmentProgramEligibilityDetails IS NOT NULL) OVER of_service AS says_of_any
    FROM focus.cost_and_usage
    WHERE x_Month = $month
        AND ChargeCategory = 'Usage'
        AND PricingCategory IN ('Standard', 'Committed')
        AND CommitmentDiscountStatus IS DISTINCT FROM 'Unused'
    WINDOW of_service AS (PARTITION BY ServiceProviderName, ServiceName, BillingCurrency)
),
sums AS (
    SELECT
        Month,
        Provider,
        ServiceName,
        BillingCurrency,
        coalesce(sum(ContractedCost) FILTER (is_covered), 0) AS CoveredCost,
        coalesce(sum(ContractedCost), 0) AS EligibleCost
    FROM usage
    WHERE is_covered OR CASE WHEN says_of_any THEN says_eligible ELSE has_commitments END
    GROUP BY ALL
)
SELECT *, CAST(CoveredCost AS DOUBLE) / nullif(CAST(EligibleCost AS DOUBLE), 0) AS Coverage
FROM sums
ORDER BY EligibleCost - CoveredCost DESC
