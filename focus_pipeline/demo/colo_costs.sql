-- Data centre costs in the columns that FOCUS 1.0 asks of everyone, as their owner writes them out by a query.

CREATE OR REPLACE TEMP TABLE colo_costs (
    BilledCost DECIMAL(18, 2),
    BillingAccountId VARCHAR DEFAULT 'acct-001',
    BillingAccountName VARCHAR DEFAULT 'Data centres',
    BillingCurrency VARCHAR DEFAULT 'USD',
    BillingPeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    BillingPeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    ChargeCategory VARCHAR DEFAULT 'Usage',
    ChargeClass VARCHAR,
    ChargeDescription VARCHAR,
    ChargeFrequency VARCHAR DEFAULT 'Recurring',
    ChargePeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    ChargePeriodEnd TIMESTAMP DEFAULT getvariable('month_end'),
    ContractedCost DECIMAL(18, 2),
    EffectiveCost DECIMAL(18, 2),
    InvoiceIssuerName VARCHAR,
    ListCost DECIMAL(18, 2),
    PricingQuantity DECIMAL(18, 6),
    PricingUnit VARCHAR,
    ProviderName VARCHAR,
    PublisherName VARCHAR,
    ResourceId VARCHAR,
    ServiceCategory VARCHAR,
    ServiceName VARCHAR
);

-- Fixed fees of the colocation and of the network carrier.
INSERT INTO colo_costs BY NAME
SELECT
    fee AS BilledCost, fee AS ContractedCost, fee AS EffectiveCost, list_fee AS ListCost,
    1 AS PricingQuantity, 'Months' AS PricingUnit, ServiceName || ' ' || ResourceId AS ChargeDescription,
    ProviderName, ProviderName AS PublisherName, ProviderName AS InvoiceIssuerName,
    ResourceId, ServiceCategory, ServiceName
FROM (VALUES
    ('Harbourline Colocation', 'cab-41', 'Networking', 'Colocation', 1450.00, 1600.00),
    ('Harbourline Colocation', 'cab-42', 'Networking', 'Colocation', 1450.00, 1600.00),
    ('Harbourline Colocation', 'cab-43', 'Networking', 'Colocation', 1450.00, 1600.00),
    ('Harbourline Colocation', 'cab-44', 'Networking', 'Colocation', 1180.00, 1600.00),
    ('Harbourline Colocation', 'xc-0917', 'Networking', 'Cross Connect', 95.00, 120.00),
    ('Harbourline Colocation', 'xc-0918', 'Networking', 'Cross Connect', 95.00, 120.00),
    ('Sundial Carrier', 'circuit-a', 'Networking', 'IP Transit', 780.00, 900.00),
    ('Sundial Carrier', 'circuit-b', 'Networking', 'IP Transit', 780.00, 900.00)
) AS fees(ProviderName, ResourceId, ServiceCategory, ServiceName, fee, list_fee);

-- Power, metered per cabinet and week.
INSERT INTO colo_costs BY NAME
SELECT
    'Usage-Based' AS ChargeFrequency, week AS ChargePeriodStart, next_week AS ChargePeriodEnd,
    CAST(kilowatt_hours * 0.19 AS DECIMAL(18, 2)) AS BilledCost, BilledCost AS ContractedCost,
    BilledCost AS EffectiveCost, CAST(kilowatt_hours * 0.21 AS DECIMAL(18, 2)) AS ListCost,
    kilowatt_hours AS PricingQuantity, 'kWh' AS PricingUnit, 'Power of ' || cabinet AS ChargeDescription,
    'Harbourline Colocation' AS ProviderName, ProviderName AS PublisherName, ProviderName AS InvoiceIssuerName,
    cabinet AS ResourceId, 'Other' AS ServiceCategory, 'Power' AS ServiceName
FROM (
    SELECT
        week, next_week, cabinet,
        date_diff('day', week, next_week) * 62 * growth(1.2) * around_one(cabinet || week) AS kilowatt_hours
    FROM weeks CROSS JOIN (VALUES ('cab-41'), ('cab-42'), ('cab-43'), ('cab-44')) AS cabinets(cabinet)
)
ORDER BY week, cabinet;

-- What one team after the other used of the company's own GPU cluster: no resource, and no other price than the one.
INSERT INTO colo_costs BY NAME
SELECT
    'Usage-Based' AS ChargeFrequency, week AS ChargePeriodStart, next_week AS ChargePeriodEnd,
    team AS BillingAccountId, team AS BillingAccountName,
    CAST(gpu_hours * 0.85 AS DECIMAL(18, 2)) AS BilledCost,
    BilledCost AS ContractedCost, BilledCost AS EffectiveCost, BilledCost AS ListCost,
    gpu_hours AS PricingQuantity, 'Hours' AS PricingUnit, 'GPU hours of ' || team AS ChargeDescription,
    'Internal' AS ProviderName, 'Internal' AS PublisherName, 'Internal' AS InvoiceIssuerName,
    'Compute' AS ServiceCategory, 'Shared GPU Cluster' AS ServiceName
FROM (
    SELECT
        week, next_week, team,
        date_diff('day', week, next_week) * gpus * 24 * growth(4) * around_one(team || week) AS gpu_hours
    FROM weeks CROSS JOIN (VALUES ('team-search', 2), ('team-vision', 4), ('team-research', 6)) AS teams(team, gpus)
)
ORDER BY week, team;

INSERT INTO colo_costs BY NAME
SELECT
    'Credit' AS ChargeCategory, 'One-Time' AS ChargeFrequency, 'Promotional credit' AS ChargeDescription,
    -amount AS BilledCost, -amount AS ContractedCost, -amount AS EffectiveCost, -amount AS ListCost,
    'Harbourline Colocation' AS ProviderName, ProviderName AS PublisherName, ProviderName AS InvoiceIssuerName,
    'Other' AS ServiceCategory, 'Promotional Credit' AS ServiceName
FROM (SELECT amount_between(25, 225, 'credit') AS amount);

-- An invoice that came late, after the month was closed: it restates the month that it is of.
CREATE OR REPLACE TEMP TABLE late_invoice AS
SELECT * REPLACE ('xc-0919' AS ResourceId, 'Cross Connect xc-0919, invoiced late' AS ChargeDescription)
FROM colo_costs
WHERE ResourceId = 'xc-0918';
