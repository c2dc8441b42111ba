-- Oracle's FOCUS reports: the names of FOCUS 1.0-preview, Oracle's own columns named oci_, no ContractedCost and no
-- ChargeClass, billing periods that end with their last millisecond and moments without seconds. Written as text.

CREATE OR REPLACE TEMP MACRO without_seconds(moment) AS strftime(moment, '%Y-%m-%dT%H:%MZ');

CREATE OR REPLACE TEMP TABLE oracle_main AS
WITH instances AS (
    SELECT * FROM (VALUES
        ('analytics', 'VM.Standard.E5.Flex', 'COMPUTE', 'Compute', 'OCPU Hours', 48.0, 0.0300),
        ('warehouse', 'Autonomous Data Warehouse', 'ADW', 'Databases', 'ECPU Hours', 96.0, 0.3360),
        ('archive', 'Object Storage', 'OBJECT_STORAGE', 'Storage', 'GB-Months', 410.0, 0.0255),
        ('backups', 'Block Volume', 'BLOCK_STORAGE', 'Storage', 'GB-Months', 150.0, 0.0255),
        ('contracts', 'OCI Generative AI - Large Cohere', 'GENERATIVE_AI', 'AI and Machine Learning',
            '10,000 Transactions', 640.0, 0.0156)
    ) AS instances(name, sku, service, category, unit, daily, price)
),
charges AS (
    SELECT
        day, next_day, name, sku, service, category, unit, price,
        CAST(daily * growth(1.5) * around_one(name || day) AS DECIMAL(12, 4)) AS quantity
    FROM days CROSS JOIN instances
)
SELECT
    'EUF:EU-FRANKFURT-1-AD-1' AS AvailabilityZone,
    CAST(quantity * price AS DECIMAL(18, 8)) AS BilledCost,
    '78901234' AS BillingAccountId,
    'acmecorp' AS BillingAccountName,
    'USD' AS BillingCurrency,
    strftime(getvariable('month_end') - INTERVAL 1 MILLISECOND, '%Y-%m-%dT%H:%M:%S.%gZ') AS BillingPeriodEnd,
    strftime(getvariable('month_start'), '%Y-%m-%dT%H:%M:%S.%gZ') AS BillingPeriodStart,
    'Usage' AS ChargeCategory,
    if(service = 'GENERATIVE_AI', sku, sku || ', ' || unit) AS ChargeDescription,
    'Usage-Based' AS ChargeFrequency,
    without_seconds(next_day) AS ChargePeriodEnd,
    without_seconds(day) AS ChargePeriodStart,
    'On-Demand' AS ChargeSubcategory,
    '' AS CommitmentDiscountCategory,
    '' AS CommitmentDiscountId,
    '' AS CommitmentDiscountName,
    '' AS CommitmentDiscountType,
    CAST(quantity * price AS DECIMAL(18, 8)) AS EffectiveCost,
    'Oracle' AS InvoiceIssuer,
    CAST(quantity * price AS DECIMAL(18, 8)) AS ListCost,
    CAST(price AS DECIMAL(10, 4)) AS ListUnitPrice,
    'On-Demand' AS PricingCategory,
    quantity AS PricingQuantity,
    unit AS PricingUnit,
    'Oracle' AS "Provider",
    'Oracle' AS Publisher,
    'eu-frankfurt-1' AS Region,
    'ocid1.' || lower(service) || '.oc1.eu-frankfurt-1.' || md5(name) AS ResourceId,
    name AS ResourceName,
    service AS ResourceType,
    category AS ServiceCategory,
    service AS ServiceName,
    if(service = 'GENERATIVE_AI', 'B108077', 'B' || left(CAST(md5_number_lower(sku) AS VARCHAR), 5)) AS SkuId,
    if(service = 'GENERATIVE_AI', 'B108077', 'B' || left(CAST(md5_number_lower(sku) AS VARCHAR), 5)) || '.P1'
        AS SkuPriceId,
    'ocid1.tenancy.oc1..aaaa' AS SubAccountId,
    'acmecorp' AS SubAccountName,
    '{"team": "' || CASE WHEN name IN ('archive', 'backups') THEN 'platform' ELSE 'data' END || '"}' AS Tags,
    quantity AS UsageQuantity,
    unit AS UsageUnit,
    'V2.' || name || '/' || dayofmonth(day) AS oci_ReferenceNumber,
    'ocid1.compartment.oc1..bbbb' AS oci_CompartmentId,
    'analytics' AS oci_CompartmentName,
    'N' AS oci_OverageFlag,
    '' AS oci_UnitPriceOverage,
    '' AS oci_BilledQuantityOverage,
    '' AS oci_CostOverage,
    quantity AS oci_AttributedUsage,
    CAST(quantity * price AS DECIMAL(18, 8)) AS oci_AttributedCost,
    '' AS oci_BackReferenceNumber
FROM charges
ORDER BY day, name;
