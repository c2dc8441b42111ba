-- The tables of a warehouse beside focus.cost_and_usage. All can be rebuilt from staged/ and landing/, but the history
-- in focus.loads.

CREATE SCHEMA IF NOT EXISTS focus;
CREATE SCHEMA IF NOT EXISTS marts;

-- What was published, and when (UTC): one row for every time a month was replaced, numbered from 1. The one of a month
-- with the highest number is what focus.cost_and_usage shows. Costs before and after are by BillingCurrency.
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
    BilledCostAfter MAP(VARCHAR, DECIMAL(38, 18)) NOT NULL,
    LoadNumber BIGINT
);

-- Of every load that took the place of an earlier one: the services whose costs it changed. A service that came or went
-- has 0 on the other side.
CREATE TABLE IF NOT EXISTS focus.load_services (
    Connection VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    LoadNumber BIGINT NOT NULL,
    ServiceName VARCHAR,
    BillingCurrency VARCHAR,
    RowsBefore BIGINT NOT NULL,
    RowsAfter BIGINT NOT NULL,
    BilledCostBefore DECIMAL(38, 18) NOT NULL,
    BilledCostAfter DECIMAL(38, 18) NOT NULL,
    EffectiveCostBefore DECIMAL(38, 18) NOT NULL,
    EffectiveCostAfter DECIMAL(38, 18) NOT NULL
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

-- Of every month of a mart: the definition and the loads that its rows come of, as fingerprints. A month whose row says
-- otherwise than the mart and the table do now is due.
CREATE TABLE IF NOT EXISTS focus.mart_months (
    Mart VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    Definition VARCHAR NOT NULL,
    Loaded VARCHAR NOT NULL
);

-- What one unit of FromCurrency is in ToCurrency, in a month.
CREATE TABLE IF NOT EXISTS focus.exchange_rates (
    Month VARCHAR NOT NULL,
    FromCurrency VARCHAR NOT NULL,
    ToCurrency VARCHAR NOT NULL,
    Rate DECIMAL(38, 18) NOT NULL
);

-- Of every month of a connection: which delivery the table shows (null where none was accepted yet), and on which one
-- the verdict in focus.conformance is. An identity changes with the delivery and with the code that reads it.
CREATE TABLE IF NOT EXISTS focus.month_states (
    Connection VARCHAR NOT NULL,
    Month VARCHAR NOT NULL,
    Token VARCHAR,
    StagedIdentity VARCHAR,
    JudgedToken VARCHAR,
    JudgedIdentity VARCHAR
);
