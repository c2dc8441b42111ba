-- The warehouse. Everything in it can be rebuilt from staged/ and landing/.

CREATE SCHEMA IF NOT EXISTS focus;
CREATE SCHEMA IF NOT EXISTS marts;

-- What was published, and when: one row for every time a month was replaced. The last one of a month is what
-- focus.cost_and_usage shows. Costs before and after are by BillingCurrency.
CREATE TABLE IF NOT EXISTS focus.loads (
    Connection VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    Token VARCHAR NOT NULL,
    StagedIdentity VARCHAR NOT NULL,
    PublishedAt TIMESTAMP NOT NULL,
    Files INTEGER NOT NULL,
    RowsBefore BIGINT NOT NULL,
    RowsAfter BIGINT NOT NULL,
    BilledCostBefore MAP(VARCHAR, DECIMAL(38, 18)) NOT NULL,
    BilledCostAfter MAP(VARCHAR, DECIMAL(38, 18)) NOT NULL
);

-- Files of the latest delivery of a month that are not in the table, and why. The files themselves are in landing/.
CREATE TABLE IF NOT EXISTS focus.rejected_files (
    Connection VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    Token VARCHAR NOT NULL,
    File VARCHAR NOT NULL,
    Bytes BIGINT NOT NULL,
    Rule VARCHAR NOT NULL,
    Reason VARCHAR NOT NULL,
    Examples JSON NOT NULL
);

-- The verdict of every rule on the latest judged delivery of a month, and what broke it.
--   Level       contract, MUST, SHOULD or NOTE
--   Severity    ERROR, WARN, NOTE, or '' of a rule that is kept
--   Verdict     passed, failed, known gap, note, or not applicable: no file has the rule's columns or version
--   KnownGap    provider and version whose exports are known to break it
--   Examples    list of objects: file, line in CSV (from 1, the header's) or row in Parquet (from 1), and values
CREATE TABLE IF NOT EXISTS focus.conformance (
    Connection VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    Token VARCHAR NOT NULL,
    RuleId VARCHAR NOT NULL,
    ColumnId VARCHAR NOT NULL,
    AssetCheck VARCHAR NOT NULL,
    Level VARCHAR NOT NULL,
    Severity VARCHAR NOT NULL,
    Verdict VARCHAR NOT NULL,
    Violations BIGINT NOT NULL,
    "Rows" BIGINT NOT NULL,
    KnownGap VARCHAR NOT NULL,
    Examples JSON NOT NULL
);

-- Rows and costs of every sub-account in every month, kept up to date in the transaction that replaces the month.
CREATE TABLE IF NOT EXISTS focus.data_source_months (
    Connection VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    SubAccountId VARCHAR,
    SubAccountName VARCHAR,
    BillingCurrency VARCHAR,
    "Rows" BIGINT NOT NULL,
    BilledCost DECIMAL(38, 18) NOT NULL,
    EffectiveCost DECIMAL(38, 18) NOT NULL
);

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
