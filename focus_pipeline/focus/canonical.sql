-- Macros that turn a value as a provider sent it into its canonical form. Each gives NULL for a value that it
-- cannot read; the caller tells that apart from a value that was not there.

-- A cast to DECIMAL(38, 18) takes fifty times as long as one that fits into 64 bits. So a number is read as what
-- stands before its point and what stands after it. Up to 18 decimals; more than 18 digits before the point, and what
-- is no number, are left to the cast. With the point, '41 ' is none: a cast forgives spaces where a number ends.
CREATE OR REPLACE TEMP MACRO whole_and_fraction(value, whole, fraction) AS
    coalesce(
        CASE
            WHEN contains(whole, '-') THEN
                CAST(TRY_CAST(whole || '.' AS DECIMAL(18, 0)) AS DECIMAL(38, 18))
                - TRY_CAST('0.' || fraction AS DECIMAL(18, 18))
            ELSE
                CAST(TRY_CAST(whole || '.' AS DECIMAL(18, 0)) AS DECIMAL(38, 18))
                + TRY_CAST('0.' || fraction AS DECIMAL(18, 18))
        END,
        TRY_CAST(value AS DECIMAL(38, 18))
    );

CREATE OR REPLACE TEMP MACRO long_decimal(value) AS
    CASE
        WHEN split_part(value, '.', 3) <> '' THEN NULL
        ELSE whole_and_fraction(value, split_part(value, '.', 1), rtrim(split_part(value, '.', 2), '0'))
    END;

-- A number with a point and without zeros at its end; NULL where it has an exponent, or an underscore.
CREATE OR REPLACE TEMP MACRO plain_number(value) AS
    CASE
        WHEN contains(value, 'e') OR contains(value, 'E') OR contains(value, '_') THEN NULL
        WHEN contains(value, '.') THEN rtrim(value, '0')
        ELSE value || '.'
    END;

-- The narrow casts, by the characters before and after the point: no decimal may be rounded away, and a cast that
-- fails takes long. NULL where none fits.
CREATE OR REPLACE TEMP MACRO narrow_decimal(number, whole, decimals) AS
    CASE
        WHEN whole <= 8 AND decimals <= 10 THEN CAST(TRY_CAST(number AS DECIMAL(18, 10)) AS DECIMAL(38, 18))
        WHEN whole <= 12 AND decimals <= 6 THEN CAST(TRY_CAST(number AS DECIMAL(18, 6)) AS DECIMAL(38, 18))
        WHEN whole <= 4 AND decimals <= 14 THEN CAST(TRY_CAST(number AS DECIMAL(18, 14)) AS DECIMAL(38, 18))
        WHEN whole <= 16 AND decimals <= 2 THEN CAST(TRY_CAST(number AS DECIMAL(18, 2)) AS DECIMAL(38, 18))
        WHEN whole <= 1 AND decimals <= 17 THEN CAST(TRY_CAST(number AS DECIMAL(18, 17)) AS DECIMAL(38, 18))
    END;

CREATE OR REPLACE TEMP MACRO short_decimal(number) AS
    narrow_decimal(number, instr(number, '.') - 1, strlen(number) - instr(number, '.'));

-- 1.5E-7 -> 0.00000015, whatever the exponent of up to three digits; NULL where that is no number.
CREATE OR REPLACE TEMP MACRO with_point_at(digits, place) AS
    CASE
        WHEN place <= 0 THEN '0.' || repeat('0', -place) || digits
        ELSE rpad(digits, place, '0') || '.' || substr(digits, place + 1)
    END;

CREATE OR REPLACE TEMP MACRO without_exponent(value) AS
    list_transform(
        [regexp_extract(
            trim(value),
            '^([+-]?)([0-9]*)\.?([0-9]*)[eE]([+-]?[0-9]{1,3})$',
            ['sign', 'whole', 'fraction', 'exponent']
        )],
        lambda number: number.sign || with_point_at(
            nullif(number.whole || number.fraction, ''),
            CAST(length(number.whole) + TRY_CAST(number.exponent AS INTEGER) AS INTEGER)
        )
    )[1];

-- Digits after the point that a plainly written number needs.
CREATE OR REPLACE TEMP MACRO decimals_needed(value) AS
    length(rtrim(trim(split_part(value, '.', 2)), '0'));

-- Up to 19 characters cannot hold more than 18 decimals: no need to count.
CREATE OR REPLACE TEMP MACRO exact_decimal(value) AS
    CASE WHEN length(value) <= 19 OR decimals_needed(value) <= 18 THEN long_decimal(value) END;

-- More than 18 decimals in at most 17 digits, such as 0.00012000000000000002: a binary floating-point number that was
-- written as text. Zeros in front do not count. Such a number is below 0.1.
CREATE OR REPLACE TEMP MACRO is_text_of_float(number) AS
    CASE
        WHEN length(number) <= 19 OR decimals_needed(number) <= 18 THEN false
        ELSE length(rtrim(ltrim(replace(trim(number), '.', ''), '+-0'), '0')) <= 17
            AND regexp_full_match(number, '\s*[+-]?0*\.[0-9]+\s*')
    END;

-- It is rounded at the 18th decimal, as a DOUBLE is. More digits than these are real, and are not rounded away.
CREATE OR REPLACE TEMP MACRO text_decimal(number) AS
    CASE
        WHEN is_text_of_float(number) THEN TRY_CAST(
            CASE WHEN contains(number, '-') THEN '-0.' ELSE '0.' END || left(split_part(number, '.', 2), 19)
            AS DECIMAL(38, 18)
        )
        ELSE exact_decimal(number)
    END;

-- DuckDB would round a 19th decimal in silence, lose digits of numbers with an exponent, and read 1_000 as a number.
CREATE OR REPLACE TEMP MACRO unusual_decimal(value) AS
    CASE
        WHEN value IS NULL OR contains(value, '_') THEN NULL
        WHEN contains(value, 'e') OR contains(value, 'E')
            THEN list_transform([without_exponent(value)], lambda number: text_decimal(number))[1]
        ELSE text_decimal(value)
    END;

-- Most numbers are short. Their part is in no CASE: within one DuckDB works out an expression each time that it stands
-- there, and outside of one once.
CREATE OR REPLACE TEMP MACRO to_decimal(value) AS
    coalesce(short_decimal(plain_number(value)), unusual_decimal(value));

-- Whether to_decimal() rounds a text.
CREATE OR REPLACE TEMP MACRO is_rounded_text(value) AS
    CASE
        WHEN contains(value, 'e') OR contains(value, 'E')
            THEN coalesce(list_transform([without_exponent(value)], lambda number: is_text_of_float(number))[1], false)
        WHEN strlen(value) > 19 THEN is_text_of_float(value)
        ELSE false
    END;

-- A binary floating-point number means the shortest decimal that names it: 0.1 is 0.1, not 0.1000000000000000055.
-- Past the 18th decimal it is rounded, by less than it was exact; how often is counted and reported. No more than 22
-- characters decide that.
CREATE OR REPLACE TEMP MACRO double_to_decimal(value) AS
    coalesce(
        short_decimal(plain_number(CAST(value AS VARCHAR))),
        CASE
            WHEN value IS NULL THEN NULL
            WHEN contains(CAST(value AS VARCHAR), 'e')
                THEN TRY_CAST(left(without_exponent(CAST(value AS VARCHAR)), 22) AS DECIMAL(38, 18))
            ELSE long_decimal(CAST(value AS VARCHAR))
        END
    );

CREATE OR REPLACE TEMP MACRO shortest_decimal(value) AS
    CASE
        WHEN contains(CAST(value AS VARCHAR), 'e') THEN without_exponent(CAST(value AS VARCHAR))
        ELSE CAST(value AS VARCHAR)
    END;

CREATE OR REPLACE TEMP MACRO is_rounded(value) AS
    decimals_needed(shortest_decimal(value)) > 18;

-- FOCUS writes 2025-01-01T00:00:00Z. Also read: no seconds, a space for the T, fractions, ' UTC', other offsets, and
-- no zone at all, which is taken as UTC. The year has to come first and have four digits.
CREATE OR REPLACE TEMP MACRO with_seconds(value) AS
    regexp_replace(value, '^(.{10}[T ][0-9]{2}:[0-9]{2})($|[Z+ -])', '\1:00\2');

-- Only TIMESTAMPTZ heeds an offset; it is slower, so it is used where there may be one.
CREATE OR REPLACE TEMP MACRO loosely_written_moment(value) AS
    CASE
        WHEN NOT regexp_matches(value, '^[0-9]{4}[-/]') THEN NULL
        WHEN regexp_full_match(value, '[^+-]*-[^+-]*-[^+-]*') THEN TRY_CAST(with_seconds(value) AS TIMESTAMP)
        ELSE TRY_CAST(regexp_replace(with_seconds(value), ' ([+-])', '\1') AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
    END;

CREATE OR REPLACE TEMP MACRO to_timestamp_utc(value) AS
    CASE
        WHEN value LIKE '____-__-__T__:__:__%Z' OR value LIKE '____-__-__ __:__:__' THEN TRY_CAST(value AS TIMESTAMP)
        WHEN value LIKE '____-__-__T__:__Z' THEN TRY_CAST(left(value, 16) || ':00' AS TIMESTAMP)
        ELSE loosely_written_moment(trim(value))
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

-- ["GCP", "Compute"] -> the first of them that is a known value; NULL where none is.
CREATE OR REPLACE TEMP MACRO first_known(value, known) AS
    CASE
        WHEN json_valid(value) THEN list_filter(
            list_transform(CAST(json_extract_string(value, '$[*]') AS VARCHAR[]), lambda item: known[folded(item)]),
            lambda item: item IS NOT NULL
        )[1]
    END;

-- [{"key": "a", "value": "b"}] -> {"a":"b"}. A key that stands twice stays twice: nothing is dropped.
CREATE OR REPLACE TEMP MACRO pairs_to_object(pairs) AS
    '{' || array_to_string(
        list_transform(
            CAST(json_extract(pairs, '$[*]') AS JSON[]),
            lambda pair:
                CAST(to_json(coalesce(pair ->> '$.key', pair ->> '$.Key')) AS VARCHAR)
                || ':' || CAST(coalesce(pair -> '$.value', pair -> '$.Value', 'null') AS VARCHAR)
        ),
        ','
    ) || '}';

CREATE OR REPLACE TEMP MACRO are_pairs(value) AS
    list_count(CAST(json_extract_string(value, '$[*].key') AS VARCHAR[])) = json_array_length(value)
    OR list_count(CAST(json_extract_string(value, '$[*].Key') AS VARCHAR[])) = json_array_length(value);

-- {'a': 'b'} -> {"a": "b"}. With double quotes or backslashes in it, replacing quotes could change its meaning.
CREATE OR REPLACE TEMP MACRO python_dictionary_to_json(value) AS
    CASE WHEN starts_with(value, '{''') AND NOT regexp_matches(value, '["\\]') THEN replace(value, '''', '"') END;

-- json_valid() lets pass what JSON has not: NaN, Infinity and -Infinity in any case, and a comma before a closing
-- bracket. Three patterns, each with one letter in front, take a third of the time of one. They find such text within
-- strings, too, but not in keys such as "user:name", which are everywhere.
CREATE OR REPLACE TEMP MACRO may_be_lax_json(value) AS
    regexp_matches(value, ',\s*(?:[\]}]|-?(?:[Nn][Aa][Nn]|[Ii][Nn][Ff](?:[Ii][Nn][Ii][Tt][Yy])?)\s*[,\]}])')
    OR regexp_matches(value, ':\s*-?(?:[Nn][Aa][Nn]|[Ii][Nn][Ff](?:[Ii][Nn][Ii][Tt][Yy])?)\s*[,\]}]')
    OR regexp_matches(value, '\[\s*-?(?:[Nn][Aa][Nn]|[Ii][Nn][Ff](?:[Ii][Nn][Ii][Tt][Yy])?)\s*[,\]}]');

-- Of text that json_valid() lets pass.
CREATE OR REPLACE TEMP MACRO is_lax_json(value) AS
    CASE
        WHEN may_be_lax_json(value)
            THEN regexp_matches(
                regexp_replace(value, '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i)nan|inf|,\s*[\]}]'
            )
        ELSE false
    END;

CREATE OR REPLACE TEMP MACRO is_json_object(value) AS
    CASE
        WHEN json_valid(value) AND (starts_with(value, '{') OR json_type(value) = 'OBJECT') THEN NOT is_lax_json(value)
        ELSE false
    END;

-- Commas before a closing bracket mean nothing.
CREATE OR REPLACE TEMP MACRO without_trailing_commas(value) AS
    regexp_replace(value, '("(?:[^"\\]|\\.)*")|,(\s*[\]}])', '\1\2', 'g');

-- NULL for what is no JSON even without such commas: nobody can say what a NaN stands for.
CREATE OR REPLACE TEMP MACRO strict_json(value) AS
    CASE
        WHEN json_valid(value)
            AND NOT regexp_matches(regexp_replace(value, '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i)nan|inf')
            THEN without_trailing_commas(value)
    END;

-- The object that JSON text stands for: one, a string that holds one, or pairs.
CREATE OR REPLACE TEMP MACRO object_in_json(value) AS
    CASE
        WHEN json_valid(value) THEN
            CASE json_type(value)
                WHEN 'OBJECT' THEN value
                WHEN 'ARRAY' THEN CASE WHEN are_pairs(value) THEN pairs_to_object(value) END
                WHEN 'VARCHAR' THEN
                    CASE
                        WHEN json_valid(json_extract_string(value, '$'))
                            AND json_type(json_extract_string(value, '$')) = 'OBJECT'
                            THEN strict_json(json_extract_string(value, '$'))
                    END
            END
    END;

-- A JSON object, however it was written: an object; a string that holds one; pairs; a Python dictionary.
CREATE OR REPLACE TEMP MACRO to_json_object(value) AS
    CASE
        WHEN starts_with(value, '{''') THEN strict_json(python_dictionary_to_json(value))
        WHEN may_be_lax_json(value)
            THEN CASE WHEN strict_json(value) IS NOT NULL THEN object_in_json(without_trailing_commas(value)) END
        ELSE object_in_json(value)
    END;
