-- An Azure Cost Management export in FOCUS 1.0r2: Azure's columns in Azure's order, an empty string where Azure has
-- nothing to say.

CREATE OR REPLACE TEMP TABLE azure_main (
    BilledCost DECIMAL(18, 8),
    BillingAccountId VARCHAR DEFAULT '/providers/Microsoft.Billing/billingAccounts/8811223',
    BillingAccountName VARCHAR DEFAULT 'Acme Corp',
    BillingAccountType VARCHAR DEFAULT 'Billing Account',
    BillingCurrency VARCHAR DEFAULT 'USD',
    BillingPeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    BillingPeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    ChargeCategory VARCHAR DEFAULT 'Usage',
    ChargeClass VARCHAR DEFAULT '',
    ChargeDescription VARCHAR DEFAULT '',
    ChargeFrequency VARCHAR DEFAULT 'Usage-Based',
    ChargePeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    ChargePeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    CommitmentDiscountCategory VARCHAR DEFAULT '',
    CommitmentDiscountId VARCHAR DEFAULT '',
    CommitmentDiscountName VARCHAR DEFAULT '',
    CommitmentDiscountStatus VARCHAR DEFAULT '',
    CommitmentDiscountType VARCHAR DEFAULT '',
    ConsumedQuantity DECIMAL(18, 4),
    ConsumedUnit VARCHAR DEFAULT '',
    ContractedCost DECIMAL(18, 8),
    ContractedUnitPrice DECIMAL(18, 4),
    EffectiveCost DECIMAL(18, 8),
    InvoiceIssuerName VARCHAR DEFAULT 'Microsoft',
    ListCost DECIMAL(18, 8),
    ListUnitPrice DECIMAL(18, 4),
    PricingCategory VARCHAR DEFAULT '',
    PricingQuantity DECIMAL(18, 4),
    PricingUnit VARCHAR DEFAULT '',
    ProviderName VARCHAR DEFAULT 'Microsoft',
    PublisherName VARCHAR DEFAULT 'Microsoft',
    RegionId VARCHAR DEFAULT '',
    RegionName VARCHAR DEFAULT '',
    ResourceId VARCHAR DEFAULT '',
    ResourceName VARCHAR DEFAULT '',
    ResourceType VARCHAR DEFAULT '',
    ServiceCategory VARCHAR DEFAULT '',
    ServiceName VARCHAR DEFAULT '',
    SkuId VARCHAR DEFAULT '',
    SkuPriceId VARCHAR DEFAULT '',
    SubAccountId VARCHAR DEFAULT '',
    SubAccountName VARCHAR DEFAULT '',
    SubAccountType VARCHAR DEFAULT '',
    Tags VARCHAR DEFAULT '',
    x_AccountId VARCHAR DEFAULT '',
    x_AccountName VARCHAR DEFAULT 'Acme Engineering',
    x_AccountOwnerId VARCHAR DEFAULT '',
    x_BilledCostInUsd DECIMAL(18, 8),
    x_BilledUnitPrice DECIMAL(18, 4),
    x_BillingAccountId VARCHAR DEFAULT '8811223',
    x_BillingAccountName VARCHAR DEFAULT 'Acme Corp',
    x_BillingExchangeRate VARCHAR DEFAULT '1',
    x_BillingExchangeRateDate TIMESTAMP DEFAULT getvariable('month_start'),
    x_BillingProfileId VARCHAR DEFAULT '8811223',
    x_BillingProfileName VARCHAR DEFAULT 'Acme Corp',
    x_ContractedCostInUsd DECIMAL(18, 8),
    x_CostAllocationRuleName VARCHAR DEFAULT '',
    x_CostCenter VARCHAR DEFAULT '',
    x_CustomerId VARCHAR DEFAULT '',
    x_CustomerName VARCHAR DEFAULT '',
    x_EffectiveCostInUsd DECIMAL(18, 8),
    x_EffectiveUnitPrice DECIMAL(18, 4),
    x_InvoiceId VARCHAR DEFAULT '',
    x_InvoiceIssuerId VARCHAR DEFAULT '',
    x_InvoiceSectionId VARCHAR DEFAULT '',
    x_InvoiceSectionName VARCHAR DEFAULT '',
    x_ListCostInUsd DECIMAL(18, 8),
    x_PartnerCreditApplied VARCHAR DEFAULT '',
    x_PartnerCreditRate VARCHAR DEFAULT '',
    x_PricingBlockSize VARCHAR DEFAULT '1',
    x_PricingCurrency VARCHAR DEFAULT 'USD',
    x_PricingSubcategory VARCHAR DEFAULT '',
    x_PricingUnitDescription VARCHAR DEFAULT '',
    x_PublisherCategory VARCHAR DEFAULT 'Cloud Provider',
    x_PublisherId VARCHAR DEFAULT '',
    x_ResellerId VARCHAR DEFAULT '',
    x_ResellerName VARCHAR DEFAULT '',
    x_ResourceGroupName VARCHAR DEFAULT '',
    x_ResourceType VARCHAR DEFAULT '',
    x_ServicePeriodEnd VARCHAR DEFAULT '',
    x_ServicePeriodStart VARCHAR DEFAULT '',
    x_SkuDescription VARCHAR DEFAULT '',
    x_SkuDetails VARCHAR DEFAULT '',
    x_SkuIsCreditEligible VARCHAR DEFAULT 'true',
    x_SkuMeterCategory VARCHAR DEFAULT '',
    x_SkuMeterId VARCHAR DEFAULT '',
    x_SkuMeterName VARCHAR DEFAULT '',
    x_SkuMeterSubcategory VARCHAR DEFAULT '',
    x_SkuOfferId VARCHAR DEFAULT 'MS-AZR-0017P',
    x_SkuOrderId VARCHAR DEFAULT '',
    x_SkuOrderName VARCHAR DEFAULT '',
    x_SkuPartNumber VARCHAR DEFAULT '',
    x_SkuRegion VARCHAR DEFAULT '',
    x_SkuServiceFamily VARCHAR DEFAULT '',
    x_SkuTerm VARCHAR DEFAULT '',
    x_SkuTier VARCHAR DEFAULT ''
);

CREATE OR REPLACE TEMP TABLE subscriptions AS
SELECT
    *,
    '/subscriptions/' || guid(name) AS id,
    'rg-' || name AS resource_group,
    format('{{"team":"{}","environment":"{}"}}', team, environment) AS tags
FROM (VALUES
    ('crm-production', 'sales', 'production', 'CC-2100', 'westeurope', 'West Europe', 1.00),
    ('crm-test', 'sales', 'test', 'CC-2100', 'westeurope', 'West Europe', 0.20),
    ('warehouse-analytics', 'data', 'production', 'CC-3300', 'westeurope', 'West Europe', 0.80),
    ('copilot-pilot', 'ml', 'research', 'CC-3900', 'eastus2', 'East US 2', 0.55),
    ('intranet', 'workplace', 'production', 'CC-1200', 'germanywestcentral', 'Germany West Central', 0.35)
) AS subscriptions(name, team, environment, cost_center, region, region_name, size);

-- Prices in USD; per_day is what a subscription of size 1.00 used on a working day in January 2025.
CREATE OR REPLACE TEMP TABLE meters AS
FROM (VALUES
    ('Virtual Machines', 'Compute', 'Compute', 'Dv5 Series', 'D4s v5', 'Virtual machine',
        'microsoft.compute/virtualmachines', 'Hours', 0.1920, 0.1824, 190, 1.5),
    ('Azure Kubernetes Service', 'Compute', 'Compute', 'Standard', 'Uptime SLA', 'Kubernetes service',
        'microsoft.containerservice/managedclusters', 'Hours', 0.1000, 0.1000, 48, 0.5),
    ('Storage Accounts', 'Storage', 'Storage', 'Tiered Block Blob', 'Hot LRS Data Stored', 'Storage account',
        'microsoft.storage/storageaccounts', 'GB-Months', 0.0184, 0.0175, 1400, 3.0),
    ('Managed Disks', 'Storage', 'Storage', 'Premium SSD', 'P10 LRS Disk', 'Disk',
        'microsoft.compute/disks', 'Disk-Months', 19.7100, 18.7200, 1, 1.0),
    ('SQL Database', 'Databases', 'Databases', 'General Purpose', 'vCore', 'SQL database',
        'microsoft.sql/servers/databases', 'Hours', 0.1520, 0.1444, 150, 1.0),
    ('Azure Cosmos DB', 'Databases', 'Databases', 'Provisioned', '100 RU/s', 'Cosmos DB account',
        'microsoft.documentdb/databaseaccounts', 'Hours', 0.0080, 0.0080, 1900, 2.0),
    ('Bandwidth', 'Networking', 'Networking', 'Inter-Region', 'Data Transfer Out', 'Virtual network',
        'microsoft.network/virtualnetworks', 'GB', 0.0870, 0.0827, 210, 2.0),
    ('Log Analytics', 'Management and Governance', 'Azure Monitor', 'Analytics Logs', 'Data Ingestion',
        'Log Analytics workspace', 'microsoft.operationalinsights/workspaces', 'GB', 2.3000, 2.1850, 14, 3.0),
    ('Key Vault', 'Security', 'Security', 'Standard', 'Operations', 'Key vault',
        'microsoft.keyvault/vaults', '10K', 0.0300, 0.0300, 65, 1.0),
    ('Azure OpenAI Service', 'AI and Machine Learning', 'AI + Machine Learning', 'Azure OpenAI',
        'gpt 4o 1120 Inp glbl 1M Tokens', 'Azure OpenAI', 'microsoft.cognitiveservices/accounts', '1M',
        2.5000, 2.5000, 6.4, 6.0),
    ('Azure OpenAI Service', 'AI and Machine Learning', 'AI + Machine Learning', 'Azure OpenAI',
        'gpt 4o 1120 cached Inp glbl 1M Tokens', 'Azure OpenAI', 'microsoft.cognitiveservices/accounts', '1M',
        1.2500, 1.2500, 5.2, 9.0),
    ('Azure OpenAI Service', 'AI and Machine Learning', 'AI + Machine Learning', 'Azure OpenAI',
        'gpt 4o 1120 Outp glbl 1M Tokens', 'Azure OpenAI', 'microsoft.cognitiveservices/accounts', '1M',
        10.0000, 10.0000, 2.6, 6.0)
) AS meters(
    service, category, family, subcategory, meter, resource_type,
    provider_type, unit, list_price, contracted_price, per_day, growth_percent
);

INSERT INTO azure_main BY NAME
WITH metered AS (
    SELECT
        *,
        CAST(
            per_day * size * growth(growth_percent) * on_workdays(day, 0.55) * around_one(meter || name || day)
            AS DECIMAL(18, 4)
        ) AS quantity,
        guid(service || meter) AS meter_id,
        name || '-' || array_extract(string_split(provider_type, '/'), -1) AS resource_name
    FROM days CROSS JOIN subscriptions CROSS JOIN meters
)
SELECT
    day AS ChargePeriodStart, next_day AS ChargePeriodEnd, format('{} - {}', subcategory, meter) AS ChargeDescription,
    quantity AS ConsumedQuantity, unit AS ConsumedUnit,
    quantity AS PricingQuantity, unit AS PricingUnit, 'Standard' AS PricingCategory,
    list_price AS ListUnitPrice, quantity * list_price AS ListCost,
    contracted_price AS ContractedUnitPrice, quantity * contracted_price AS ContractedCost,
    quantity * contracted_price AS EffectiveCost, quantity * contracted_price AS BilledCost,
    region AS RegionId, region_name AS RegionName,
    format('{}/resourcegroups/{}/providers/{}/{}', id, resource_group, provider_type, resource_name) AS ResourceId,
    resource_name AS ResourceName, resource_type AS ResourceType, provider_type AS x_ResourceType,
    category AS ServiceCategory, service AS ServiceName,
    meter_id AS SkuId, meter_id || '_' || region AS SkuPriceId,
    id AS SubAccountId, name AS SubAccountName, 'Subscription' AS SubAccountType,
    -- What the network sends out has no tags.
    if(service = 'Bandwidth', '', tags) AS Tags,
    cost_center AS x_CostCenter, name AS x_InvoiceSectionName, resource_group AS x_ResourceGroupName,
    contracted_price AS x_BilledUnitPrice, contracted_price AS x_EffectiveUnitPrice, unit AS x_PricingUnitDescription,
    service AS x_SkuMeterCategory, meter_id AS x_SkuMeterId, meter AS x_SkuMeterName,
    subcategory AS x_SkuMeterSubcategory, family AS x_SkuServiceFamily,
    region AS x_SkuRegion, format('{} - {}', service, meter) AS x_SkuDescription
FROM metered
ORDER BY day, name, service, meter;

-- Throughput of AI models that is provisioned by the month, used or not.
INSERT INTO azure_main BY NAME
SELECT
    'Azure OpenAI - Az-Provisioned Throughput Units' AS ChargeDescription, 'Recurring' AS ChargeFrequency,
    units AS ConsumedQuantity, 'Units' AS ConsumedUnit,
    units AS PricingQuantity, 'Units/Month' AS PricingUnit, 'Standard' AS PricingCategory,
    260.0000 AS ListUnitPrice, units * 260.0000 AS ListCost,
    247.0000 AS ContractedUnitPrice, units * 247.0000 AS ContractedCost,
    units * 247.0000 AS EffectiveCost, units * 247.0000 AS BilledCost,
    region AS RegionId, region_name AS RegionName,
    format('{}/resourcegroups/{}/providers/microsoft.cognitiveservices/accounts/{}', id, resource_group, name)
        AS ResourceId,
    name || '-accounts' AS ResourceName, 'Azure OpenAI' AS ResourceType,
    'microsoft.cognitiveservices/accounts' AS x_ResourceType,
    'AI and Machine Learning' AS ServiceCategory, 'Azure OpenAI Service' AS ServiceName,
    guid('provisioned throughput') AS SkuId, SkuId || '_' || region AS SkuPriceId,
    id AS SubAccountId, name AS SubAccountName, 'Subscription' AS SubAccountType, tags AS Tags,
    cost_center AS x_CostCenter, name AS x_InvoiceSectionName, resource_group AS x_ResourceGroupName,
    247.0000 AS x_BilledUnitPrice, 247.0000 AS x_EffectiveUnitPrice, '1/Month' AS x_PricingUnitDescription,
    'Azure OpenAI Service' AS x_SkuMeterCategory, SkuId AS x_SkuMeterId,
    'Az-Provisioned Throughput Units' AS x_SkuMeterName, 'Azure OpenAI' AS x_SkuMeterSubcategory,
    'AI + Machine Learning' AS x_SkuServiceFamily, region AS x_SkuRegion
FROM subscriptions CROSS JOIN (SELECT CAST(15 AS DECIMAL(18, 4)) AS units)
WHERE name = 'copilot-pilot';

-- Reservations, each for a year and paid at its start: one in March, one in September. Then come the days: what was
-- used of them at the reserved price, and what was not. Over the year, used and unused add up to what was paid.
INSERT INTO azure_main BY NAME
WITH reservations AS (
    SELECT
        *,
        getvariable('month_start') - to_months((month(getvariable('month_start')) - bought_in + 12) % 12) AS bought_at,
        '/providers/microsoft.capacity/reservationorders/' || guid('order' || reservation || bought_at) AS order_id,
        order_id || '/reservations/' || guid(reservation || bought_at) AS reservation_id,
        guid(size_name) AS meter_id,
        CAST(24 * machines AS DECIMAL(18, 4)) AS hours_a_day
    FROM (VALUES
        (3, 'vm-warehouse', 'warehouse-analytics', 'E8s v5', 'Ev5 Series', 'vm-spark', 12, 0.5040, 0.4788, 0.3150),
        (9, 'vm-crm', 'crm-production', 'D8s v5', 'Dv5 Series', 'vm-crm-app', 16, 0.3840, 0.3648, 0.2400)
    ) AS reservations(
        bought_in, reservation, name, size_name, series, machine, machines, list_price, contracted_price, reserved_price
    )
),
used AS (
    SELECT
        *,
        CAST(round(hours_a_day * least(1, on_workdays(day, 0.80) * around_one(reservation || day))) AS DECIMAL(18, 4))
            AS used_hours
    FROM days CROSS JOIN reservations
),
reservation_charges AS (
    SELECT *, 'Usage' AS charge, 'Used' AS status, used_hours AS hours FROM used
    UNION ALL BY NAME
    SELECT *, 'Usage' AS charge, 'Unused' AS status, hours_a_day - used_hours AS hours
    FROM used
    WHERE used_hours < hours_a_day
    UNION ALL BY NAME
    SELECT
        *, 'Purchase' AS charge, '' AS status, bought_at AS day, bought_at + INTERVAL 1 DAY AS next_day,
        hours_a_day * date_diff('day', bought_at, bought_at + INTERVAL 1 YEAR) AS hours
    FROM reservations
    WHERE bought_at = getvariable('month_start')
)
SELECT
    charge AS ChargeCategory, day AS ChargePeriodStart, next_day AS ChargePeriodEnd,
    if(charge = 'Purchase', 'One-Time', 'Usage-Based') AS ChargeFrequency,
    format('Virtual Machines {} - {}, reservation', series, size_name) AS ChargeDescription,
    if(status = 'Used', hours, NULL) AS ConsumedQuantity, if(status = 'Used', 'Hours', '') AS ConsumedUnit,
    hours AS PricingQuantity, 'Hours' AS PricingUnit,
    if(charge = 'Purchase', 'Standard', 'Committed') AS PricingCategory,
    if(status = 'Used', list_price, reserved_price) AS ListUnitPrice, hours * ListUnitPrice AS ListCost,
    if(status = 'Used', contracted_price, reserved_price) AS ContractedUnitPrice,
    hours * ContractedUnitPrice AS ContractedCost,
    if(charge = 'Purchase', 0, hours * reserved_price) AS EffectiveCost,
    if(charge = 'Purchase', hours * reserved_price, 0) AS BilledCost,
    'Usage' AS CommitmentDiscountCategory, reservation_id AS CommitmentDiscountId,
    reservation AS CommitmentDiscountName, 'Reservation' AS CommitmentDiscountType, status AS CommitmentDiscountStatus,
    region AS RegionId, region_name AS RegionName,
    if(
        status = 'Used',
        format('{}/resourcegroups/{}/providers/microsoft.compute/virtualmachines/{}', id, resource_group, machine),
        reservation_id
    ) AS ResourceId,
    if(status = 'Used', machine, reservation) AS ResourceName,
    if(status = 'Used', 'Virtual machine', 'Reservation') AS ResourceType,
    'Compute' AS ServiceCategory, 'Virtual Machines' AS ServiceName,
    meter_id AS SkuId, meter_id || if(status = 'Used', '_', '_P1Y_') || region AS SkuPriceId,
    id AS SubAccountId, name AS SubAccountName, 'Subscription' AS SubAccountType,
    if(status = 'Used', tags, '') AS Tags,
    cost_center AS x_CostCenter, name AS x_InvoiceSectionName, resource_group AS x_ResourceGroupName,
    reserved_price AS x_EffectiveUnitPrice, 'Hours' AS x_PricingUnitDescription, 'Reservation' AS x_PricingSubcategory,
    'Virtual Machines' AS x_SkuMeterCategory, meter_id AS x_SkuMeterId, size_name AS x_SkuMeterName,
    series AS x_SkuMeterSubcategory, 'Compute' AS x_SkuServiceFamily, region AS x_SkuRegion,
    order_id AS x_SkuOrderId, '12' AS x_SkuTerm
FROM reservation_charges JOIN subscriptions USING (name)
ORDER BY charge, day, reservation, status;

-- A product of another company from the marketplace, a credit, and a refund that corrects a closed bill.
INSERT INTO azure_main BY NAME
SELECT
    'Purchase' AS ChargeCategory, 'Recurring' AS ChargeFrequency,
    'Ironbark Firewall, monthly plan' AS ChargeDescription,
    2 AS PricingQuantity, 'Units' AS PricingUnit, 'Standard' AS PricingCategory,
    640.0000 AS ListUnitPrice, 640.0000 AS ContractedUnitPrice,
    1280 AS ListCost, 1280 AS ContractedCost, 1280 AS EffectiveCost, 1280 AS BilledCost,
    'Ironbark Security' AS PublisherName, 'Vendor' AS x_PublisherCategory, 'false' AS x_SkuIsCreditEligible,
    'Security' AS ServiceCategory, 'Ironbark Firewall' AS ServiceName,
    'ironbark-firewall' AS SkuId, 'ironbark-firewall-monthly' AS SkuPriceId,
    id AS SubAccountId, name AS SubAccountName, 'Subscription' AS SubAccountType, cost_center AS x_CostCenter
FROM subscriptions
WHERE name = 'intranet';

INSERT INTO azure_main BY NAME
SELECT
    charge AS ChargeCategory, class AS ChargeClass, description AS ChargeDescription, 'One-Time' AS ChargeFrequency,
    -- A correction has the period of what it corrects.
    getvariable('month_start') - to_months(if(class = 'Correction', 1, 0)) AS ChargePeriodStart,
    if(class = 'Correction', getvariable('month_start'), getvariable('month_end')) AS ChargePeriodEnd,
    -amount AS BilledCost, -amount AS EffectiveCost, -amount AS ListCost, -amount AS ContractedCost,
    category AS ServiceCategory, service AS ServiceName,
    id AS SubAccountId, name AS SubAccountName, 'Subscription' AS SubAccountType, cost_center AS x_CostCenter
FROM (
    SELECT
        'Credit' AS charge, '' AS class, 'Azure credit offer' AS description, 'copilot-pilot' AS name,
        'AI and Machine Learning' AS category, 'Azure OpenAI Service' AS service,
        amount_between(100, 400, 'azure credit') AS amount
    UNION ALL
    SELECT
        'Usage', 'Correction', 'Refund of an outage in the month before', 'crm-production', 'Databases', 'SQL Database',
        amount_between(10, 90, 'azure refund') AS refund
) JOIN subscriptions USING (name);

UPDATE azure_main
SET
    x_BilledCostInUsd = BilledCost,
    x_EffectiveCostInUsd = EffectiveCost,
    x_ListCostInUsd = ListCost,
    x_ContractedCostInUsd = ContractedCost;
