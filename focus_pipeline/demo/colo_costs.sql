-- Data centre costs in the 15 columns of a minimal CSV contract, spelled as its owner spells them: `Provider`,
-- `Usage-based`, `Others`, and periods that end with their last second.

CREATE OR REPLACE TEMP TABLE colo_costs (
    BilledCost DECIMAL(18, 2),
    BillingAccountId VARCHAR DEFAULT 'acct-001',
    BillingCurrency VARCHAR DEFAULT 'USD',
    BillingPeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    BillingPeriodEnd TIMESTAMP DEFAULT getvariable('month_end') - INTERVAL 1 SECOND,
    ChargeCategory VARCHAR DEFAULT 'Usage',
    ChargeFrequency VARCHAR DEFAULT 'Recurring',
    ChargePeriodStart TIMESTAMP DEFAULT getvariable('month_start'),
    ChargePeriodEnd TIMESTAMP DEFAULT getvariable('month_end') - INTERVAL 1 SECOND,
    EffectiveCost DECIMAL(18, 2),
    ListCost DECIMAL(18, 2),
    "Provider" VARCHAR,
    ResourceId VARCHAR,
    ServiceCategory VARCHAR,
    ServiceName VARCHAR
);

-- Fixed fees of the colocation and of the network carrier.
INSERT INTO colo_costs BY NAME
SELECT
    fee AS BilledCost, fee AS EffectiveCost, list_fee AS ListCost,
    "Provider", ResourceId, ServiceCategory, ServiceName
FROM (VALUES
    ('Harbourline Colocation', 'cab-41', 'Networking', 'Colocation', 1450.00, 1600.00),
    ('Harbourline Colocation', 'cab-42', 'Networking', 'Colocation', 1450.00, 1600.00),
    ('Harbourline Colocation', 'cab-43', 'Networking', 'Colocation', 1450.00, 1600.00),
    ('Harbourline Colocation', 'cab-44', 'Networking', 'Colocation', 1180.00, 1600.00),
    ('Harbourline Colocation', 'xc-0917', 'Networking', 'Cross Connect', 95.00, 120.00),
    ('Harbourline Colocation', 'xc-0918', 'Networking', 'Cross Connect', 95.00, 120.00),
    ('Sundial Carrier', 'circuit-a', 'Networking', 'IP Transit', 780.00, 900.00),
    ('Sundial Carrier', 'circuit-b', 'Networking', 'IP Transit', 780.00, 900.00)
) AS fees("Provider", ResourceId, ServiceCategory, ServiceName, fee, list_fee);

-- Power, metered per cabinet and week.
INSERT INTO colo_costs BY NAME
SELECT
    'Usage-based' AS ChargeFrequency, week AS ChargePeriodStart, next_week - INTERVAL 1 SECOND AS ChargePeriodEnd,
    CAST(kilowatt_hours * 0.19 AS DECIMAL(18, 2)) AS BilledCost, BilledCost AS EffectiveCost,
    CAST(kilowatt_hours * 0.21 AS DECIMAL(18, 2)) AS ListCost,
    'Harbourline Colocation' AS "Provider", cabinet AS ResourceId, 'Others' AS ServiceCategory, 'Power' AS ServiceName
FROM (
    SELECT
        week, next_week, cabinet,
        date_diff('day', week, next_week) * 62 * growth(1.2) * around_one(cabinet || week) AS kilowatt_hours
    FROM weeks CROSS JOIN (VALUES ('cab-41'), ('cab-42'), ('cab-43'), ('cab-44')) AS cabinets(cabinet)
)
ORDER BY week, cabinet;

-- What one team after the other used of the company's own GPU cluster: no price list, no resource.
INSERT INTO colo_costs BY NAME
SELECT
    'Usage-based' AS ChargeFrequency, week AS ChargePeriodStart, next_week AS ChargePeriodEnd,
    team AS BillingAccountId,
    CAST(date_diff('day', week, next_week) * gpus * 24 * 0.85 * growth(4) * around_one(team || week) AS DECIMAL(18, 2))
        AS BilledCost,
    BilledCost AS EffectiveCost,
    CASE WHEN team <> 'team-research' THEN BilledCost END AS ListCost,
    'Internal' AS "Provider", 'Compute' AS ServiceCategory, 'Shared GPU Cluster' AS ServiceName
FROM weeks CROSS JOIN (VALUES ('team-search', 2), ('team-vision', 4), ('team-research', 6)) AS teams(team, gpus)
ORDER BY week, team;

INSERT INTO colo_costs BY NAME
SELECT
    'Credit' AS ChargeCategory, 'One-Time' AS ChargeFrequency, -amount AS BilledCost, -amount AS EffectiveCost,
    'Harbourline Colocation' AS "Provider", 'Others' AS ServiceCategory, 'Promotional Credit' AS ServiceName
FROM (SELECT amount_between(25, 225, 'credit') AS amount);

-- An invoice that came late: its first row belongs into the folder of the month before.
CREATE OR REPLACE TEMP TABLE late_invoice AS
SELECT * FROM colo_costs WHERE ResourceId = 'circuit-b';

INSERT INTO late_invoice
SELECT * REPLACE (
    ChargePeriodStart - INTERVAL 1 MONTH AS ChargePeriodStart,
    ChargePeriodStart - INTERVAL 1 SECOND AS ChargePeriodEnd
)
FROM late_invoice;
