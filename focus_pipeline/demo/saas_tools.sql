-- Four software vendors that bill in EUR, in the columns of FOCUS 1.2. One has a price list in USD, one in credits of
-- its own.

CREATE OR REPLACE TEMP TABLE saas_tools (
    BilledCost DECIMAL(18, 12),
    BillingAccountId VARCHAR,
    BillingAccountName VARCHAR DEFAULT 'Acme Corp',
    BillingAccountType VARCHAR DEFAULT 'Contract',
    BillingCurrency VARCHAR DEFAULT 'EUR',
    BillingPeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    BillingPeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    ChargeCategory VARCHAR DEFAULT 'Usage',
    ChargeClass VARCHAR,
    ChargeDescription VARCHAR,
    ChargeFrequency VARCHAR DEFAULT 'Usage-Based',
    ChargePeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    ChargePeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    ConsumedQuantity DECIMAL(18, 6),
    ConsumedUnit VARCHAR,
    ContractedCost DECIMAL(18, 12),
    ContractedUnitPrice DECIMAL(18, 6),
    EffectiveCost DECIMAL(18, 12),
    InvoiceId VARCHAR,
    InvoiceIssuerName VARCHAR,
    ListCost DECIMAL(18, 12),
    ListUnitPrice DECIMAL(18, 6),
    PricingCategory VARCHAR,
    PricingCurrency VARCHAR DEFAULT 'EUR',
    PricingCurrencyContractedUnitPrice DECIMAL(18, 6),
    PricingCurrencyEffectiveCost DECIMAL(18, 12),
    PricingCurrencyListUnitPrice DECIMAL(18, 6),
    PricingQuantity DECIMAL(18, 6),
    PricingUnit VARCHAR,
    ProviderName VARCHAR,
    PublisherName VARCHAR,
    ResourceId VARCHAR,
    ResourceName VARCHAR,
    ResourceType VARCHAR,
    ServiceCategory VARCHAR,
    ServiceName VARCHAR,
    ServiceSubcategory VARCHAR,
    SkuId VARCHAR,
    SkuMeter VARCHAR,
    SkuPriceId VARCHAR,
    SubAccountId VARCHAR,
    SubAccountName VARCHAR,
    SubAccountType VARCHAR,
    Tags VARCHAR,
    x_ExchangeRate DECIMAL(9, 4),
    x_Model VARCHAR,
    x_InputTokens BIGINT,
    x_OutputTokens BIGINT
);

-- EUR for one unit of the vendor's pricing currency: at list, and as agreed. The dollar's is that of the month.
CREATE OR REPLACE TEMP TABLE vendors AS
SELECT *, code || '-' || getvariable('month') AS invoice
FROM (VALUES
    ('NLO', 'Northlight Observability', 'Northlight Platform', 'Management and Governance', 'Observability',
        'EUR', 1.00, 1.00),
    ('QSD', 'Quarrystone Data', 'Quarrystone Warehouse', 'Databases', 'Data Warehouses',
        'CREDITS', 3.00, 2.40),
    ('BHC', 'Brightharrow CRM', 'Brightharrow Sales Suite', 'Business Applications', 'Productivity and Collaboration',
        'EUR', 1.00, 1.00),
    ('LKM', 'Larkmind Models', 'Larkmind API', 'AI and Machine Learning', 'Generative AI',
        'USD', CAST(0.88 + 0.06 * chance('dollar' || getvariable('month')) AS DECIMAL(9, 4)), NULL)
) AS vendors(code, vendor, service, category, subcategory, pricing_currency, list_rate, agreed_rate);

-- Prices in the vendor's pricing currency. every: how often it is metered. per_day: in January 2025.
CREATE OR REPLACE TEMP TABLE prices AS
FROM (VALUES
    ('NLO', 'Hosts', 'Host-Days', 'week', 'prod', 'production', 'platform', 0.62, 0.55, 74, 2.0, NULL),
    ('NLO', 'Hosts', 'Host-Days', 'week', 'stage', 'staging', 'platform', 0.62, 0.55, 18, 1.0, NULL),
    ('NLO', 'Logs', 'GB', 'week', 'prod', 'production', 'platform', 1.40, 1.20, 120, 3.5, NULL),
    ('NLO', 'Logs', 'GB', 'week', 'stage', 'staging', 'platform', 1.40, 1.20, 21, 2.0, NULL),
    ('NLO', 'Traces', '1000000 Spans', 'week', 'prod', 'production', 'platform', 1.90, 1.70, 16, 3.0, NULL),
    ('QSD', 'Compute M', 'Hours', 'day', 'wh-etl', 'etl', 'data', 4.00, 4.00, 14, 2.0, NULL),
    ('QSD', 'Compute S', 'Hours', 'day', 'wh-bi', 'bi', 'data', 2.00, 2.00, 11, 2.5, NULL),
    ('LKM', 'Input tokens', '1000000 Tokens', 'day', 'support-assistant', 'support-assistant', 'support',
        2.50, 2.50, 38, 6.0, 'lark-large'),
    ('LKM', 'Output tokens', '1000000 Tokens', 'day', 'support-assistant', 'support-assistant', 'support',
        10.00, 10.00, 7, 6.0, 'lark-large'),
    ('LKM', 'Input tokens', '1000000 Tokens', 'day', 'code-review', 'code-review', 'platform',
        0.40, 0.40, 160, 6.0, 'lark-small')
) AS prices(
    code, meter, unit, every, sub_account, sub_account_name, team,
    list_price, agreed_price, per_day, growth_percent, model
);

INSERT INTO saas_tools BY NAME
WITH periods AS (
    SELECT 'day' AS every, day AS period_start, next_day AS period_end FROM days
    UNION ALL
    SELECT 'week', week, next_week FROM weeks
),
metered AS (
    SELECT
        *,
        CAST(
            per_day * date_diff('day', period_start, period_end) * growth(growth_percent)
            * around_one(meter || sub_account || period_start) * if(every = 'day', on_workdays(period_start, 0.30), 1)
            AS DECIMAL(18, 6)
        ) AS quantity,
        lower(code || '-' || replace(coalesce(model || '-', '') || meter, ' ', '-')) AS sku,
        list_rate * list_price AS list_eur,
        coalesce(agreed_rate, list_rate) * agreed_price AS agreed_eur
    FROM prices JOIN vendors USING (code) JOIN periods USING (every)
)
SELECT
    code || '-20417' AS BillingAccountId, invoice AS InvoiceId,
    vendor AS InvoiceIssuerName, vendor AS ProviderName, vendor AS PublisherName,
    category AS ServiceCategory, service AS ServiceName, subcategory AS ServiceSubcategory,
    period_start AS ChargePeriodStart, period_end AS ChargePeriodEnd,
    format('{}, {}', coalesce(model || ': ' || meter, meter), sub_account_name) AS ChargeDescription,
    quantity AS ConsumedQuantity, unit AS ConsumedUnit,
    quantity AS PricingQuantity, unit AS PricingUnit, 'Standard' AS PricingCategory,
    list_eur AS ListUnitPrice, quantity * list_eur AS ListCost,
    agreed_eur AS ContractedUnitPrice, quantity * agreed_eur AS ContractedCost,
    quantity * agreed_eur AS EffectiveCost, quantity * agreed_eur AS BilledCost,
    pricing_currency AS PricingCurrency, list_price AS PricingCurrencyListUnitPrice,
    agreed_price AS PricingCurrencyContractedUnitPrice, quantity * agreed_price AS PricingCurrencyEffectiveCost,
    sku AS SkuId, sku || '-eur' AS SkuPriceId, meter AS SkuMeter,
    sub_account AS SubAccountId, sub_account_name AS SubAccountName, 'Workspace' AS SubAccountType,
    json_object('team', team) AS Tags,
    if(pricing_currency <> 'EUR', coalesce(agreed_rate, list_rate), NULL) AS x_ExchangeRate,
    model AS x_Model,
    if(meter = 'Input tokens', CAST(1000000 * quantity AS BIGINT), NULL) AS x_InputTokens,
    if(meter = 'Output tokens', CAST(1000000 * quantity AS BIGINT), NULL) AS x_OutputTokens
FROM metered
ORDER BY period_start, code, sku, sub_account;

-- Licences of the CRM, paid per seat and month.
INSERT INTO saas_tools BY NAME
SELECT
    code || '-20417' AS BillingAccountId, invoice AS InvoiceId,
    vendor AS InvoiceIssuerName, vendor AS ProviderName, vendor AS PublisherName,
    category AS ServiceCategory, service AS ServiceName, subcategory AS ServiceSubcategory,
    'Purchase' AS ChargeCategory, 'Recurring' AS ChargeFrequency,
    format('{} seats for {}', edition, team) AS ChargeDescription,
    CAST(round(seats * growth(1)) AS DECIMAL(18, 6)) AS PricingQuantity, 'Seats' AS PricingUnit,
    'Standard' AS PricingCategory,
    list_price AS ListUnitPrice, PricingQuantity * list_price AS ListCost,
    agreed_price AS ContractedUnitPrice, PricingQuantity * agreed_price AS ContractedCost,
    PricingQuantity * agreed_price AS EffectiveCost, PricingQuantity * agreed_price AS BilledCost,
    list_price AS PricingCurrencyListUnitPrice, agreed_price AS PricingCurrencyContractedUnitPrice,
    PricingQuantity * agreed_price AS PricingCurrencyEffectiveCost,
    'bhc-' || lower(edition) AS SkuId, 'bhc-' || lower(edition) || '-eur' AS SkuPriceId, edition AS SkuMeter,
    team AS SubAccountId, team AS SubAccountName, 'Team' AS SubAccountType,
    json_object('team', team) AS Tags
FROM vendors CROSS JOIN (VALUES
    ('sales', 'Enterprise', 64, 145.00, 118.00),
    ('support', 'Professional', 38, 85.00, 72.00),
    ('marketing', 'Professional', 17, 85.00, 72.00)
) AS licences(team, edition, seats, list_price, agreed_price)
WHERE code = 'BHC';

-- A credit, a refund that corrects a closed bill, and the rounding of an invoice.
INSERT INTO saas_tools BY NAME
SELECT
    code || '-20417' AS BillingAccountId, invoice AS InvoiceId,
    vendor AS InvoiceIssuerName, vendor AS ProviderName, vendor AS PublisherName,
    charge AS ChargeCategory, class AS ChargeClass, 'One-Time' AS ChargeFrequency, description AS ChargeDescription,
    category AS ServiceCategory, service AS ServiceName, subcategory AS ServiceSubcategory,
    -amount AS BilledCost, -amount AS EffectiveCost, -amount AS PricingCurrencyEffectiveCost,
    -amount AS ListCost, -amount AS ContractedCost
FROM vendors JOIN (VALUES
    ('NLO', 'Credit', NULL, 'Loyalty credit', amount_between(40, 130, 'loyalty')),
    ('BHC', 'Purchase', 'Correction', 'Refund of a seat returned last month', 118.00),
    ('NLO', 'Adjustment', NULL, 'Rounding of the invoice', amount_between(0.01, 0.05, 'cents'))
) AS amounts(code, charge, class, description, amount) USING (code);

-- VAT on each invoice.
INSERT INTO saas_tools BY NAME
SELECT
    code || '-20417' AS BillingAccountId, invoice AS InvoiceId,
    vendor AS InvoiceIssuerName, vendor AS ProviderName, vendor AS PublisherName,
    'Tax' AS ChargeCategory, 'Recurring' AS ChargeFrequency, 'VAT 19 %' AS ChargeDescription,
    category AS ServiceCategory, service AS ServiceName, subcategory AS ServiceSubcategory,
    CAST(0.19 * net AS DECIMAL(18, 2)) AS BilledCost, BilledCost AS EffectiveCost,
    BilledCost AS PricingCurrencyEffectiveCost, BilledCost AS ListCost, BilledCost AS ContractedCost
FROM vendors JOIN (SELECT InvoiceId AS invoice, sum(BilledCost) AS net FROM saas_tools GROUP BY ALL) USING (invoice)
ORDER BY code;
