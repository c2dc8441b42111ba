-- Costs by tag.
--
-- Each row of the table counts once under each key: under its value, or under null without one. An empty value names
-- nobody and counts as untagged. Credits and refunds are negative and count as they are.
-- Only the row's own tags count; nothing guesses who should pay for an untagged row.
WITH tagged AS (
    SELECT
        x_Month AS Month,
        keys.TagKey,
        nullif(trim(json_extract_string(Tags, '$."' || replace(keys.TagKey, '"', '\"') || '"')), '') AS TagValue,
        BillingCurrency,
        count(*) AS "Rows",
        coalesce(sum(BilledCost), 0) AS BilledCost,
        coalesce(sum(EffectiveCost), 0) AS EffectiveCost
    FROM focus.cost_and_usage
    CROSS JOIN (SELECT unnest(CAST($tag_keys AS VARCHAR[])) AS TagKey) AS keys
    WHERE x_Month = $month
    GROUP BY ALL
)
SELECT
    Month,
    TagKey,
    TagValue,
    TagValue IS NOT NULL AS IsTagged,
    BillingCurrency,
    "Rows",
    BilledCost,
    EffectiveCost,
    CAST(EffectiveCost AS DOUBLE)
        / nullif(CAST(sum(EffectiveCost) OVER (PARTITION BY TagKey, BillingCurrency) AS DOUBLE), 0)
        AS ShareOfEffectiveCost
FROM tagged
ORDER BY TagKey, abs(EffectiveCost) DESC
