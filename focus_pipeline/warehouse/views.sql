-- What is asked of the tables. Made again whenever this file or a version of FOCUS changes.

-- Each connection (ParentId null) and below it each SubAccountId that it ever delivered. A data source that is billed
-- in two currencies has two rows: costs of different currencies are never added up.
CREATE OR REPLACE VIEW focus.data_sources AS
WITH children AS (
    SELECT
        Connection || '/' || SubAccountId AS DataSourceId,
        Connection AS ParentId,
        Connection,
        SubAccountId,
        arg_max(SubAccountName, Month) AS Name,
        BillingCurrency,
        min(Month) AS FirstMonth,
        max(Month) AS LastMonth,
        sum("Rows") AS "Rows",
        sum(BilledCost) AS BilledCost,
        sum(EffectiveCost) AS EffectiveCost
    FROM focus.data_source_months
    WHERE SubAccountId IS NOT NULL
    GROUP BY Connection, SubAccountId, BillingCurrency
),
parents AS (
    SELECT
        Connection AS DataSourceId,
        CAST(NULL AS VARCHAR) AS ParentId,
        Connection,
        CAST(NULL AS VARCHAR) AS SubAccountId,
        Connection AS Name,
        BillingCurrency,
        min(Month) AS FirstMonth,
        max(Month) AS LastMonth,
        sum("Rows") AS "Rows",
        sum(BilledCost) AS BilledCost,
        sum(EffectiveCost) AS EffectiveCost
    FROM focus.data_source_months
    GROUP BY Connection, BillingCurrency
)
SELECT * FROM parents
UNION ALL
SELECT * REPLACE (coalesce(Name, SubAccountId) AS Name) FROM children
ORDER BY Connection, ParentId NULLS FIRST, SubAccountId, BillingCurrency;
