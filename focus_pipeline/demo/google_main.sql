-- Google's FOCUS export (FOCUS 1.2) as BigQuery's EXPORT DATA writes it to a bucket: costs of nine decimals, labels as
-- lists of records, and neither ServiceCategory nor ChargeFrequency.

CREATE OR REPLACE TEMP TABLE google_main AS
WITH resources AS (
    SELECT * FROM (VALUES
        ('ml-training', 'Compute Engine', 'A2 Instance Core running in Netherlands', 'Hours', 12.0, 1.4120, 'data'),
        ('web-pool', 'Kubernetes Engine', 'Autopilot Pod mCPU Requests', 'Hours', 220.0, 0.0445, 'web'),
        ('events', 'BigQuery', 'Analysis (europe-west4)', 'TiB', 1.4, 6.2500, 'data'),
        ('assets', 'Cloud Storage', 'Standard Storage Netherlands', 'GiB-Months', 84.0, 0.0200, 'web'),
        ('search-assistant', 'Vertex AI', 'Gemini 2.5 Flash Text Input - Predictions', 'count', 88000000,
            0.000000276, 'web'),
        ('search-assistant', 'Vertex AI', 'Gemini 2.5 Flash Text Input Caching', 'count', 61000000, 0.000000028, 'web'),
        ('search-assistant', 'Vertex AI', 'Gemini 2.5 Flash Text Output - Predictions', 'count', 9500000,
            0.0000023, 'web'),
        ('labelling', 'Vertex AI', 'Gemini 2.5 Flash Text Input - Batch Predictions', 'count', 130000000,
            0.000000138, 'data')
    ) AS resources(name, service, sku, unit, daily, price, team)
),
charges AS (
    SELECT
        day, next_day, name, service, sku, unit, team, CAST(price AS DECIMAL(14, 9)) AS price,
        CAST(daily * growth(2.0) * around_one(name || day) * on_workdays(day, 0.70) AS DECIMAL(20, 5)) AS quantity
    FROM days CROSS JOIN resources
),
priced AS (
    -- BigQuery writes each NUMERIC with nine decimals.
    SELECT
        -- Tokens are counted one by one.
        * REPLACE (
            CAST(if(unit = 'count', round(quantity), quantity) AS DECIMAL(38, 9)) AS quantity,
            CAST(price AS DECIMAL(38, 9)) AS price
        ),
        CAST(if(unit = 'count', round(quantity), quantity) * price AS DECIMAL(38, 9)) AS cost
    FROM charges
)
SELECT
    'europe-west4-a' AS AvailabilityZone,
    cost AS BilledCost,
    '010101-F0FFF0-61C528' AS BillingAccountId,
    'Billing Account' AS BillingAccountType,
    'EUR' AS BillingCurrency,
    getvariable('month_start') AT TIME ZONE 'UTC' AS BillingPeriodStart,
    getvariable('month_end') AT TIME ZONE 'UTC' AS BillingPeriodEnd,
    'Usage' AS ChargeCategory,
    CAST(NULL AS VARCHAR) AS ChargeClass,
    sku AS ChargeDescription,
    day AT TIME ZONE 'UTC' AS ChargePeriodStart,
    next_day AT TIME ZONE 'UTC' AS ChargePeriodEnd,
    quantity AS ConsumedQuantity,
    unit AS ConsumedUnit,
    cost AS ContractedCost,
    price AS ContractedUnitPrice,
    cost AS ListCost,
    price AS ListUnitPrice,
    'Standard' AS PricingCategory,
    quantity AS PricingQuantity,
    unit AS PricingUnit,
    'Google Cloud' AS ProviderName,
    'Google Cloud' AS PublisherName,
    'europe-west4' AS RegionId,
    'Netherlands' AS RegionName,
    '//' || lower(replace(service, ' ', '')) || '.googleapis.com/projects/acme-data/' || name AS ResourceId,
    name AS ResourceName,
    service AS ServiceName,
    upper(left(md5(sku), 12)) AS SkuId,
    upper(left(md5(sku), 12)) || '/0' AS SkuPriceId,
    'acme-data' AS SubAccountId,
    'Acme data' AS SubAccountName,
    cost AS EffectiveCost,
    'EUR' AS PricingCurrency,
    price AS PricingCurrencyContractedUnitPrice,
    cost AS PricingCurrencyEffectiveCost,
    price AS PricingCurrencyListUnitPrice,
    'regular' AS x_CostType,
    [{'Name': '', 'Amount': CAST(0 AS DECIMAL(38, 9)), 'Type': ''}][:0] AS x_Credits,
    CAST(1 AS DECIMAL(38, 9)) AS x_CurrencyConversionRate,
    (next_day + INTERVAL 5 HOUR) AT TIME ZONE 'UTC' AS x_ExportTime,
    [{'Key': 'team', 'Value': team}] AS x_Labels,
    {'Location': 'europe-west4', 'Country': 'NL'} AS x_Location,
    {'Id': 'acme-data', 'Name': 'Acme data', 'Number': '424242'} AS x_Project,
    [{'Key': 'stage', 'Value': 'production'}] AS x_ProjectLabels,
    upper(left(md5(service), 12)) AS x_ServiceId,
    [{'Key': '', 'Value': ''}][:0] AS x_SystemLabels,
    [{'Key': '', 'Value': ''}][:0] AS x_Tags,
    CAST(NULL AS VARCHAR) AS x_SubscriptionInstanceId
FROM priced
ORDER BY day, name, sku;
