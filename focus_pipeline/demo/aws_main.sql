-- An AWS Data Export in FOCUS 1.2: AWS's columns, in AWS's order and in the types of its Parquet files.

CREATE OR REPLACE TEMP TABLE aws_main (
    AvailabilityZone VARCHAR,
    BilledCost DOUBLE,
    BillingAccountId VARCHAR DEFAULT '111100000000',
    BillingAccountName VARCHAR DEFAULT 'Acme Corp',
    BillingAccountType VARCHAR DEFAULT 'Management Account',
    BillingCurrency VARCHAR DEFAULT 'USD',
    BillingPeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    BillingPeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    CapacityReservationId VARCHAR,
    CapacityReservationStatus VARCHAR,
    ChargeCategory VARCHAR DEFAULT 'Usage',
    ChargeClass VARCHAR,
    ChargeDescription VARCHAR,
    ChargeFrequency VARCHAR DEFAULT 'Usage-Based',
    ChargePeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    ChargePeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    CommitmentDiscountCategory VARCHAR,
    CommitmentDiscountId VARCHAR,
    CommitmentDiscountName VARCHAR,
    CommitmentDiscountQuantity DOUBLE,
    CommitmentDiscountType VARCHAR,
    CommitmentDiscountUnit VARCHAR,
    CommitmentDiscountStatus VARCHAR,
    ConsumedQuantity DOUBLE,
    ConsumedUnit VARCHAR,
    ContractedCost DOUBLE,
    ContractedUnitPrice DOUBLE,
    EffectiveCost DOUBLE,
    InvoiceId VARCHAR DEFAULT 'AWS' || replace(getvariable('month'), '-', '') || '41',
    InvoiceIssuerName VARCHAR DEFAULT 'Amazon Web Services, Inc.',
    ListCost DOUBLE,
    ListUnitPrice DOUBLE,
    PricingCategory VARCHAR,
    PricingCurrency VARCHAR DEFAULT 'USD',
    PricingCurrencyContractedUnitPrice DOUBLE,
    PricingCurrencyEffectiveCost DOUBLE,
    PricingCurrencyListUnitPrice DOUBLE,
    PricingQuantity DOUBLE,
    PricingUnit VARCHAR,
    ProviderName VARCHAR DEFAULT 'AWS',
    PublisherName VARCHAR DEFAULT 'Amazon Web Services, Inc.',
    RegionId VARCHAR,
    RegionName VARCHAR,
    ResourceId VARCHAR,
    ResourceName VARCHAR,
    ResourceType VARCHAR,
    ServiceCategory VARCHAR,
    ServiceName VARCHAR,
    ServiceSubcategory VARCHAR,
    SkuId VARCHAR,
    SkuMeter VARCHAR,
    SkuPriceId VARCHAR,
    SkuPriceDetails MAP(VARCHAR, VARCHAR),
    SubAccountId VARCHAR,
    SubAccountName VARCHAR,
    SubAccountType VARCHAR,
    Tags MAP(VARCHAR, VARCHAR) DEFAULT MAP {},
    x_Discounts MAP(VARCHAR, DOUBLE) DEFAULT MAP {},
    x_Operation VARCHAR,
    x_ServiceCode VARCHAR
);

CREATE OR REPLACE TEMP TABLE accounts AS
FROM (VALUES
    ('222200001111', 'shop-production', 'shop', 'production', 'us-east-1', 'US East (N. Virginia)', 1.00),
    ('222200002222', 'shop-staging', 'shop', 'staging', 'us-east-1', 'US East (N. Virginia)', 0.22),
    ('222200003333', 'payments-production', 'payments', 'production', 'eu-west-1', 'Europe (Ireland)', 0.70),
    ('222200004444', 'payments-staging', 'payments', 'staging', 'eu-west-1', 'Europe (Ireland)', 0.15),
    ('222200005555', 'data-platform', 'data', 'production', 'us-east-1', 'US East (N. Virginia)', 0.85),
    ('222200006666', 'ml-research', 'ml', 'research', 'us-west-2', 'US West (Oregon)', 0.50),
    ('222200007777', 'shared-services', 'platform', 'production', 'eu-west-1', 'Europe (Ireland)', 0.40)
) AS accounts(account, account_name, team, environment, region, region_name, size);

-- Prices in USD; per_day is what an account of size 1.00 used on a working day in January 2025. only_team: who uses it.
CREATE OR REPLACE TEMP TABLE price_list AS
SELECT *, upper(left(md5(service_code || meter), 16)) AS sku
FROM (VALUES
    ('AmazonEC2', 'Amazon Elastic Compute Cloud', 'Compute', 'Virtual Machines', 'RunInstances', 'Instance',
        'c6i.xlarge hours', 'Hours', 0.1700, 0.1615, 240, 2.0, NULL),
    ('AmazonEC2', 'Amazon Elastic Compute Cloud', 'Compute', 'Virtual Machines', 'RunInstances', 'Instance',
        'g5.xlarge hours', 'Hours', 1.0060, 0.9557, 260, 5.0, 'ml'),
    ('AmazonEBS', 'Amazon Elastic Block Store', 'Storage', 'Block Storage', 'CreateVolume-Gp3', 'Volume',
        'gp3 storage', 'GB-Months', 0.0800, 0.0760, 310, 2.5, NULL),
    ('AmazonS3', 'Amazon Simple Storage Service', 'Storage', 'Object Storage', 'StandardStorage', 'Bucket',
        'Standard storage', 'GB-Months', 0.0230, 0.0218, 1900, 3.0, NULL),
    ('AmazonS3', 'Amazon Simple Storage Service', 'Storage', 'Object Storage', 'PutObject', 'Bucket',
        'Tier 1 requests', '1000 Requests', 0.0050, 0.0050, 2600, 2.0, NULL),
    ('AmazonRDS', 'Amazon Relational Database Service', 'Databases', 'Relational Databases', 'CreateDBInstance',
        'DB Instance', 'db.r6g.large hours', 'Hours', 0.2250, 0.2137, 120, 1.0, NULL),
    ('AmazonDynamoDB', 'Amazon DynamoDB', 'Databases', 'NoSQL Databases', 'PayPerRequestThroughput', 'Table',
        'Write request units', '1000000 Requests', 1.2500, 1.2500, 24, 2.0, NULL),
    ('AWSLambda', 'AWS Lambda', 'Compute', 'Serverless Compute', 'Invoke', 'Function',
        'Compute time', 'GB-Seconds', 0.0000166667, 0.0000158334, 940000, 3.5, NULL),
    ('AmazonEKS', 'Amazon Elastic Kubernetes Service', 'Compute', 'Containers', 'CreateOperation', 'Cluster',
        'Cluster hours', 'Hours', 0.1000, 0.1000, 72, 0.5, NULL),
    ('AmazonCloudFront', 'Amazon CloudFront', 'Networking', 'Content Delivery', 'GET', 'Distribution',
        'Data transfer out', 'GB', 0.0850, 0.0765, 620, 2.5, 'shop'),
    ('AmazonVPC', 'Amazon Virtual Private Cloud', 'Networking', 'Network Connectivity', 'NatGateway', 'NAT Gateway',
        'NAT gateway traffic', 'GB', 0.0450, 0.0427, 480, 2.0, NULL),
    ('AWSDataTransfer', 'AWS Data Transfer', 'Networking', 'Network Routing', 'RunInstances', 'Network Interface',
        'Data transfer between regions', 'GB', 0.0200, 0.0190, 700, 1.5, NULL),
    ('AmazonCloudWatch', 'Amazon CloudWatch', 'Management and Governance', 'Observability', 'PutLogEvents', 'Log Group',
        'Log ingestion', 'GB', 0.5000, 0.4750, 46, 3.0, NULL),
    ('awskms', 'AWS Key Management Service', 'Security', 'Secret Management', 'Decrypt', 'Key',
        'Requests', '10000 Requests', 0.0300, 0.0300, 88, 1.0, NULL),
    ('AmazonAthena', 'Amazon Athena', 'Analytics', 'Analytics Platforms', 'RunQuery', 'Workgroup',
        'Data scanned', 'TB', 5.0000, 4.7500, 9, 2.0, 'data'),
    ('AmazonBedrock', 'Amazon Bedrock', 'AI and Machine Learning', 'Generative AI', 'InvokeModel', 'Inference Profile',
        'USE1-NovaPro-input-tokens', '1000 Tokens', 0.0008, 0.0008, 14000, 6.0, NULL),
    ('AmazonBedrock', 'Amazon Bedrock', 'AI and Machine Learning', 'Generative AI', 'InvokeModel', 'Inference Profile',
        'USE1-NovaPro-output-tokens', '1000 Tokens', 0.0032, 0.0032, 3500, 6.0, NULL),
    ('AmazonBedrock', 'Amazon Bedrock', 'AI and Machine Learning', 'Generative AI', 'InvokeModel', 'Inference Profile',
        'USE1-NovaPro-cache-read-input-token-count', '1000 Tokens', 0.0002, 0.0002, 21000, 9.0, NULL),
    ('AmazonBedrock', 'Amazon Bedrock', 'AI and Machine Learning', 'Generative AI', 'InvokeModel', 'Inference Profile',
        'USE1-NovaPro-output-tokens-batch', '1000 Tokens', 0.0016, 0.0016, 2600, 4.0, 'data'),
    -- Sold by AWS Marketplace: in units of a million tokens, without a service code.
    ('', 'Claude Sonnet 4.6 (Amazon Bedrock Edition)', 'AI and Machine Learning', 'Generative AI',
        'InvokeModelInference', 'Inference Profile', 'USE1-MP:USE1_InputTokenCount_Global-Units', 'Units',
        3.0000, 3.0000, 6, 8.0, NULL),
    ('', 'Claude Sonnet 4.6 (Amazon Bedrock Edition)', 'AI and Machine Learning', 'Generative AI',
        'InvokeModelInference', 'Inference Profile', 'USE1-MP:USE1_OutputTokenCount_Global-Units', 'Units',
        15.0000, 15.0000, 1.2, 8.0, NULL)
) AS price_list(
    service_code, service, category, subcategory, operation, resource_type,
    meter, unit, list_price, contracted_price, per_day, growth_percent, only_team
);

-- Pay as you go. Once in a while something runs away for a day: three times the usual traffic or logs.
INSERT INTO aws_main BY NAME
WITH metered AS (
    SELECT
        *,
        CAST(
            per_day * size * growth(growth_percent) * on_workdays(day, 0.65) * around_one(sku || account || day)
            * if(unit = 'GB' AND chance('runaway' || sku || account || day) >= 0.985, 3, 1)
            AS DECIMAL(18, 3)
        ) AS quantity,
        account_name || '-' || replace(lower(resource_type), ' ', '-') AS resource_name
    FROM days CROSS JOIN accounts CROSS JOIN price_list
    WHERE only_team IS NULL OR only_team = team
)
SELECT
    day AS ChargePeriodStart, next_day AS ChargePeriodEnd,
    format('{}, {}', meter, region_name) AS ChargeDescription,
    quantity AS ConsumedQuantity, unit AS ConsumedUnit,
    quantity AS PricingQuantity, unit AS PricingUnit, 'Standard' AS PricingCategory,
    list_price AS ListUnitPrice, quantity * list_price AS ListCost,
    contracted_price AS ContractedUnitPrice, quantity * contracted_price AS ContractedCost,
    quantity * contracted_price AS EffectiveCost, quantity * contracted_price AS BilledCost,
    if(contracted_price < list_price, MAP {'EDP': quantity * (contracted_price - list_price)}, MAP {}) AS x_Discounts,
    region AS RegionId, region_name AS RegionName,
    format('arn:aws:{}:{}:{}:{}', lower(service_code), region, account, resource_name) AS ResourceId,
    resource_name AS ResourceName, resource_type AS ResourceType,
    category AS ServiceCategory, service AS ServiceName, subcategory AS ServiceSubcategory,
    service_code AS x_ServiceCode, operation AS x_Operation,
    sku AS SkuId, sku || '.JRTCKXETXF' AS SkuPriceId, meter AS SkuMeter,
    account AS SubAccountId, account_name AS SubAccountName, 'Linked Account' AS SubAccountType,
    if(resource_type = 'Network Interface', MAP {}, MAP {'team': team, 'environment': environment}) AS Tags
FROM metered
ORDER BY day, account, sku;

-- A savings plan for the m6i.large instances of production. It covers nine tenths of a working day's fleet: the rest
-- is paid as it goes, and at weekends some of the plan lies idle.
CREATE OR REPLACE TEMP TABLE savings_plan AS
SELECT
    'arn:aws:savingsplans::111100000000:savingsplan/' || guid('savings plan') AS plan_id,
    'compute-production' AS plan_name,
    0.0640 AS plan_price, 0.0960 AS list_price, 0.0912 AS contracted_price,
    'M6ILARGEBOXUSAGE' AS sku;

CREATE OR REPLACE TEMP TABLE fleet AS
SELECT
    *,
    CAST(24 * round(60 * size * growth(2) * 0.9) AS DECIMAL(18, 3)) AS planned_hours,
    CAST(24 * round(60 * size * growth(2) * on_workdays(day, 0.75) * around_one(account || day)) AS DECIMAL(18, 3))
        AS running_hours,
    least(planned_hours, running_hours) AS covered_hours
FROM days CROSS JOIN accounts
WHERE environment = 'production' AND team <> 'platform';

INSERT INTO aws_main BY NAME
WITH covered AS (
    SELECT *, covered_hours AS hours, 'Used' AS status FROM fleet
    UNION ALL BY NAME
    SELECT *, running_hours - covered_hours AS hours, NULL AS status FROM fleet WHERE running_hours > covered_hours
)
SELECT
    day AS ChargePeriodStart, next_day AS ChargePeriodEnd,
    'm6i.large hours' || if(status = 'Used', ', covered by a savings plan', '') AS ChargeDescription,
    hours AS ConsumedQuantity, 'Hours' AS ConsumedUnit,
    hours AS PricingQuantity, 'Hours' AS PricingUnit, if(status = 'Used', 'Committed', 'Standard') AS PricingCategory,
    list_price AS ListUnitPrice, hours * list_price AS ListCost,
    contracted_price AS ContractedUnitPrice, hours * contracted_price AS ContractedCost,
    hours * if(status = 'Used', plan_price, contracted_price) AS EffectiveCost,
    if(status = 'Used', 0, hours * contracted_price) AS BilledCost,
    if(status = 'Used', MAP {}, MAP {'EDP': hours * (contracted_price - list_price)}) AS x_Discounts,
    if(status = 'Used', 'Spend', NULL) AS CommitmentDiscountCategory,
    if(status = 'Used', plan_id, NULL) AS CommitmentDiscountId,
    if(status = 'Used', plan_name, NULL) AS CommitmentDiscountName,
    if(status = 'Used', 'Savings Plan', NULL) AS CommitmentDiscountType,
    if(status = 'Used', hours * plan_price, NULL) AS CommitmentDiscountQuantity,
    if(status = 'Used', 'USD', NULL) AS CommitmentDiscountUnit,
    status AS CommitmentDiscountStatus,
    region || 'a' AS AvailabilityZone, region AS RegionId, region_name AS RegionName,
    format('arn:aws:ec2:{}:{}:instance/i-{}', region, account, left(md5(account), 17)) AS ResourceId,
    account_name || '-web' AS ResourceName, 'Instance' AS ResourceType,
    'Compute' AS ServiceCategory, 'Amazon Elastic Compute Cloud' AS ServiceName,
    'Virtual Machines' AS ServiceSubcategory,
    'AmazonEC2' AS x_ServiceCode, 'RunInstances' AS x_Operation,
    sku AS SkuId, sku || '.JRTCKXETXF' AS SkuPriceId, 'm6i.large hours' AS SkuMeter,
    MAP {'CoreCount': '2', 'MemorySize': '8', 'OperatingSystem': 'Linux'} AS SkuPriceDetails,
    account AS SubAccountId, account_name AS SubAccountName, 'Linked Account' AS SubAccountType,
    MAP {'team': team, 'environment': environment} AS Tags
FROM covered CROSS JOIN savings_plan
ORDER BY day, account, status;

-- What the plan costs, once a month, and what nobody used of it, day by day. Used and unused add up to what was bought.
INSERT INTO aws_main BY NAME
WITH plan_charges AS (
    SELECT
        'Purchase' AS charge, 'Recurring' AS frequency, NULL AS status, 'Standard' AS pricing,
        min(day) AS period_start, max(next_day) AS period_end,
        'Hours' AS unit, CAST(24 * count(DISTINCT day) AS DECIMAL(18, 3)) AS quantity,
        CAST(sum(planned_hours) / (24 * count(DISTINCT day)) AS DECIMAL(18, 3)) * any_value(plan_price) AS price
    FROM fleet CROSS JOIN savings_plan
    UNION ALL
    SELECT
        'Usage', 'Usage-Based', 'Unused', 'Committed', day, any_value(next_day),
        'USD', CAST(sum(planned_hours - covered_hours) AS DECIMAL(18, 3)) * any_value(plan_price), 1
    FROM fleet CROSS JOIN savings_plan
    GROUP BY day
    HAVING sum(planned_hours - covered_hours) > 0
)
SELECT
    charge AS ChargeCategory, frequency AS ChargeFrequency,
    period_start AS ChargePeriodStart, period_end AS ChargePeriodEnd,
    if(charge = 'Purchase', 'Fee of the savings plan', 'Unused part of the savings plan') AS ChargeDescription,
    quantity AS PricingQuantity, unit AS PricingUnit, pricing AS PricingCategory,
    price AS ListUnitPrice, quantity * price AS ListCost,
    price AS ContractedUnitPrice, quantity * price AS ContractedCost,
    if(charge = 'Purchase', 0, quantity * price) AS EffectiveCost,
    if(charge = 'Purchase', quantity * price, 0) AS BilledCost,
    'Spend' AS CommitmentDiscountCategory, plan_id AS CommitmentDiscountId, plan_name AS CommitmentDiscountName,
    'Savings Plan' AS CommitmentDiscountType, status AS CommitmentDiscountStatus,
    quantity * price AS CommitmentDiscountQuantity, 'USD' AS CommitmentDiscountUnit,
    plan_id AS ResourceId, plan_name AS ResourceName, 'Savings Plan' AS ResourceType,
    'Compute' AS ServiceCategory, 'AWS Savings Plans' AS ServiceName, 'Other (Compute)' AS ServiceSubcategory,
    'ComputeSavingsPlans' AS x_ServiceCode,
    'SAVINGSPLANSHOUR' AS SkuId, 'SAVINGSPLANSHOUR.' || upper(unit) AS SkuPriceId, 'Commitment' AS SkuMeter,
    '222200007777' AS SubAccountId, 'shared-services' AS SubAccountName, 'Linked Account' AS SubAccountType,
    MAP {'team': 'platform'} AS Tags
FROM plan_charges CROSS JOIN savings_plan
ORDER BY charge, period_start;

-- A credit, a correction of a bill that is closed, and the sales tax on all of it, which belongs to no account.
INSERT INTO aws_main BY NAME
SELECT
    'Credit' AS ChargeCategory, 'One-Time' AS ChargeFrequency, 'Migration programme credit' AS ChargeDescription,
    -amount AS BilledCost, -amount AS EffectiveCost, -amount AS ListCost, -amount AS ContractedCost,
    'Databases' AS ServiceCategory, 'Amazon Relational Database Service' AS ServiceName,
    'Relational Databases' AS ServiceSubcategory, 'AmazonRDS' AS x_ServiceCode,
    '222200003333' AS SubAccountId, 'payments-production' AS SubAccountName, 'Linked Account' AS SubAccountType
FROM (SELECT amount_between(150, 750, 'credit') AS amount);

INSERT INTO aws_main BY NAME
SELECT
    'Correction' AS ChargeClass, 'Refund of requests that were billed twice last month' AS ChargeDescription,
    getvariable('month_start') - INTERVAL 1 MONTH AS ChargePeriodStart,
    getvariable('month_start') AS ChargePeriodEnd,
    -amount AS BilledCost, -amount AS EffectiveCost, -amount AS ListCost, -amount AS ContractedCost,
    'Storage' AS ServiceCategory, 'Amazon Simple Storage Service' AS ServiceName,
    'Object Storage' AS ServiceSubcategory, 'AmazonS3' AS x_ServiceCode,
    '222200005555' AS SubAccountId, 'data-platform' AS SubAccountName, 'Linked Account' AS SubAccountType
FROM (SELECT amount_between(20, 110, 'refund') AS amount);

INSERT INTO aws_main BY NAME
SELECT
    'Tax' AS ChargeCategory, 'Recurring' AS ChargeFrequency, 'Sales tax' AS ChargeDescription,
    tax AS BilledCost, tax AS EffectiveCost, tax AS ListCost, tax AS ContractedCost,
    'Other' AS ServiceCategory, 'Tax' AS ServiceName, 'Other (Other)' AS ServiceSubcategory
FROM (SELECT CAST(0.0725 * sum(CAST(BilledCost AS DECIMAL(18, 4))) AS DECIMAL(18, 2)) AS tax FROM aws_main);

UPDATE aws_main
SET
    PricingCurrencyListUnitPrice = ListUnitPrice,
    PricingCurrencyContractedUnitPrice = ContractedUnitPrice,
    PricingCurrencyEffectiveCost = EffectiveCost;
