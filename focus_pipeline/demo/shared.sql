-- What the connections share: the month (variable `month`, such as '2025-03'), its days and weeks, and values that
-- vary. Those come from md5 of what they belong to, never from a random state: they are the same on every run.

SET VARIABLE month_start = CAST(getvariable('month') || '-01' AS TIMESTAMP);
SET VARIABLE month_end = getvariable('month_start') + INTERVAL 1 MONTH;

CREATE OR REPLACE TEMP TABLE days AS
SELECT day, day + INTERVAL 1 DAY AS next_day
FROM (SELECT unnest(range(getvariable('month_start'), getvariable('month_end'), INTERVAL 1 DAY)) AS day);

-- Seven days from the first on; the last week ends with the month.
CREATE OR REPLACE TEMP TABLE weeks AS
SELECT day AS week, least(day + INTERVAL 7 DAY, getvariable('month_end')) AS next_week
FROM days
WHERE dayofmonth(day) % 7 = 1;

-- 0.0000 to 0.9999
CREATE OR REPLACE TEMP MACRO chance(what) AS
    CAST(md5_number_lower(what) % 10000 AS DECIMAL(4, 0)) * 0.0001;

-- 0.880 to 1.119
CREATE OR REPLACE TEMP MACRO around_one(what) AS
    CAST(0.88 + 0.24 * chance(what) AS DECIMAL(4, 3));

-- An amount of money, another one each month.
CREATE OR REPLACE TEMP MACRO amount_between(lowest, highest, what) AS
    CAST(lowest + (highest - lowest) * chance(what || getvariable('month')) AS DECIMAL(12, 2));

CREATE OR REPLACE TEMP MACRO on_workdays(day, at_weekends) AS
    CASE WHEN isodow(day) <= 5 THEN 1.00 ELSE at_weekends END;

-- So many percent more each month since 2025, for five years: what a month holds depends on nothing but the month.
CREATE OR REPLACE TEMP MACRO growth(percent) AS
    CAST(
        pow(1 + percent / 100, least(60, date_diff('month', TIMESTAMP '2025-01-01', getvariable('month_start'))))
        AS DECIMAL(7, 3)
    );

CREATE OR REPLACE TEMP MACRO guid(what) AS
    CAST(CAST(md5(what) AS UUID) AS VARCHAR);
