-- Costs by tag.
--
-- Every row of the table stands once under each key: under its value, or under null where it has none. An empty value
-- tells nobody who pays: it counts as untagged. Credits and refunds are negative and count as they are.
-- Tags are the row's own; what an untagged row should be charged to is not guessed.
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
