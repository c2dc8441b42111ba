-- Macros that turn a value as a provider sent it into its canonical form. Each gives NULL for a value that it
-- cannot read; the caller tells that apart from a value that was not there.

-- Digits after the point that a number needs, written plainly or with an exponent.
CREATE OR REPLACE TEMP MACRO decimals_needed(value) AS
    length(rtrim(regexp_extract(value, '\.([0-9]*)', 1), '0'))
    - coalesce(TRY_CAST(regexp_extract(value, '[eE]([+-]?[0-9]+)', 1) AS INTEGER), 0);

-- DuckDB would round a 19th decimal in silence and reads 1_000 as a number; here both are not readable.
-- Up to 19 characters without an exponent cannot hold more than 18 decimals: no need to count.
CREATE OR REPLACE TEMP MACRO to_decimal(value) AS
    CASE
        WHEN contains(value, '_') THEN NULL
        WHEN length(value) <= 19 AND NOT contains(value, 'e') AND NOT contains(value, 'E')
            THEN TRY_CAST(value AS DECIMAL(38, 18))
        WHEN decimals_needed(trim(value)) <= 18 THEN TRY_CAST(value AS DECIMAL(38, 18))
    END;

-- A binary floating-point number means the shortest decimal that names it: 0.1 is 0.1, not 0.1000000000000000055.
-- Past the 18th decimal it is rounded, by less than it was exact; how often is counted and shown.
CREATE OR REPLACE TEMP MACRO double_to_decimal(value) AS
    TRY_CAST(CAST(value AS VARCHAR) AS DECIMAL(38, 18));

CREATE OR REPLACE TEMP MACRO is_rounded(value) AS
    decimals_needed(CAST(value AS VARCHAR)) > 18;

-- FOCUS writes 2025-01-01T00:00:00Z. Also read: no seconds, a space for the T, fractions, ' UTC', other offsets, and
-- no zone at all, which is taken as UTC. Only TIMESTAMPTZ heeds an offset; it is slower, so it is used where there
-- may be one.
CREATE OR REPLACE TEMP MACRO with_seconds(value) AS
    CASE
        WHEN length(value) >= 16 AND substr(value, 14, 1) = ':' AND substr(value, 17, 1) IN ('', 'Z', '+', '-')
            THEN substr(value, 1, 16) || ':00' || substr(value, 17)
        ELSE value
    END;

CREATE OR REPLACE TEMP MACRO to_timestamp_utc(value) AS
    CASE
        WHEN ends_with(value, 'Z') OR regexp_full_match(value, '[^+-]*-[^+-]*-[^+-]*')
            THEN TRY_CAST(with_seconds(value) AS TIMESTAMP)
        ELSE TRY_CAST(with_seconds(value) AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
    END;

-- FOCUS periods end before their end. Some providers write the last second of the period instead.
CREATE OR REPLACE TEMP MACRO exclusive_end(moment) AS
    CASE
        WHEN CAST(moment AS TIME) >= TIME '23:59:59' THEN date_trunc('day', moment) + INTERVAL 1 DAY
        ELSE moment
    END;

-- For comparing names and enum values: case, spaces, hyphens and underscores do not tell two of them apart.
CREATE OR REPLACE TEMP MACRO folded(value) AS
    lower(regexp_replace(value, '[ _-]', '', 'g'));

-- [{"key": "a", "value": "b"}] -> {"a":"b"}. A key that stands twice stays twice: nothing is dropped.
CREATE OR REPLACE TEMP MACRO pairs_to_object(pairs) AS
    '{' || array_to_string(
        list_transform(
            json_extract(pairs, '$[*]'),
            lambda pair:
                CAST(to_json(coalesce(pair ->> '$.key', pair ->> '$.Key')) AS VARCHAR)
                || ':' || CAST(coalesce(pair -> '$.value', pair -> '$.Value', 'null') AS VARCHAR)
        ),
        ','
    ) || '}';

CREATE OR REPLACE TEMP MACRO are_pairs(value) AS
    len(json_extract(value, '$[*].key')) + len(json_extract(value, '$[*].Key')) = json_array_length(value);

-- A JSON object, however it was written: an object; a string that holds one; pairs; a Python dictionary.
CREATE OR REPLACE TEMP MACRO to_json_object(value) AS
    CASE
        WHEN json_valid(value) THEN
            CASE json_type(value)
                WHEN 'OBJECT' THEN value
                WHEN 'ARRAY' THEN CASE WHEN are_pairs(value) THEN pairs_to_object(value) END
                WHEN 'VARCHAR' THEN
                    CASE
                        WHEN json_valid(json_extract_string(value, '$'))
                            AND json_type(json_extract_string(value, '$')) = 'OBJECT'
                            THEN json_extract_string(value, '$')
                    END
            END
        WHEN starts_with(value, '{''') AND json_valid(replace(value, '''', '"')) THEN replace(value, '''', '"')
    END;
