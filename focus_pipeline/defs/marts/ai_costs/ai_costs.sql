-- AI costs by model and direction.
--
-- Rows: charges of AI services, told by their name or FOCUS category, and Marketplace charges with an operation of
-- Bedrock. Of other services, charges whose meter ai_meter can name; not of Identity and Security, whose tokens are no
-- words. Charges that ai_meter calls "not AI" are left out.
-- Quantity: ConsumedQuantity if it counts tokens; otherwise PricingQuantity times the block that the meter is priced
-- in. Azure calls 1,000 tokens "Units", so its ConsumedUnit says nothing. Tax, credits and adjustments of an AI
-- service are part of its cost, but not of its price per token.
-- PriceFactor: the price of each charge per million tokens, divided by the public one. The price is ListCost /
-- Quantity, or EffectiveCost / Quantity where there is no list cost, as on a marketplace. Only charges in USD are
-- compared, by PricingCurrency where the bill is in another currency. A factor of $unit_error or more, up or down, is
-- counted in UnitErrors: no discount and no tier explains it.
-- Month: x_Month. Corrections count in the month of their invoice.
WITH charges AS (
    SELECT
        x_Month AS Month,
        ServiceProviderName AS Provider,
        coalesce(PublisherName, ServiceProviderName) AS Seller,
        CASE
            WHEN ServiceName IS NULL AND (x_ProviderColumns ->> '$.x_Operation') LIKE 'InvokeModel%' THEN 'Amazon Bedrock'
            ELSE ServiceName
        END AS ServiceName,
        ServiceCategory,
        SkuMeter,
        ChargeCategory IN ('Tax', 'Credit', 'Adjustment') AS is_no_usage,
        coalesce(ServiceCategory = 'AI and Machine Learning', false)
            OR regexp_matches(
                coalesce(ServiceName, ''),
                '(?i)bedrock|sagemaker|openai|azure ai|cognitive|vertex|gemini|generative ai|anthropic|claude|cohere|mistral'
            )
            OR coalesce((x_ProviderColumns ->> '$.x_Operation') LIKE 'InvokeModel%', false) AS is_of_ai_service,
        PricingQuantity,
        CASE WHEN lower(ConsumedUnit) IN ('token', 'tokens') THEN ConsumedQuantity END AS ConsumedTokens,
        CASE
            WHEN BillingCurrency = 'USD' THEN coalesce(nullif(ListCost, 0), EffectiveCost)
            WHEN PricingCurrency = 'USD' THEN PricingCurrencyEffectiveCost
        END AS CostInUSD,
        SkuId,
        BillingCurrency,
        coalesce(BilledCost, 0) AS BilledCost,
        coalesce(EffectiveCost, 0) AS EffectiveCost,
        SubAccountId,
        CAST(Tags AS VARCHAR) AS Tags,
        CAST(json_object(
            'ConsumedUnit', CASE WHEN ConsumedQuantity IS NOT NULL THEN ConsumedUnit END,
            'PricingUnit', PricingUnit,
            'ResourceType', CASE WHEN ResourceType = ChargeDescription THEN ResourceType END,
            'ServiceName', ServiceName,
            'SkuMeter', SkuMeter,
            'SkuPriceId', CASE WHEN contains(SkuPriceId, '|') THEN SkuPriceId END,
            'ChargeDescription', CASE WHEN SkuMeter IS NULL THEN ChargeDescription END,
            'SkuPriceDetails',
            CASE WHEN regexp_matches(CAST(SkuPriceDetails AS VARCHAR), '"(Model|Token)') THEN SkuPriceDetails END,
            'line_item', x_ProviderColumns ->> '$.line_item',
            'model', x_ProviderColumns ->> '$.model',
            'token_type', x_ProviderColumns ->> '$.token_type',
            'service_tier', x_ProviderColumns ->> '$.service_tier',
            'x_Model', x_ProviderColumns ->> '$.x_Model',
            'x_Operation', x_ProviderColumns ->> '$.x_Operation',
            'x_PricingUnitDescription', x_ProviderColumns ->> '$.x_PricingUnitDescription',
            'x_ServiceCode', x_ProviderColumns ->> '$.x_ServiceCode',
            'x_SkuMeterName', x_ProviderColumns ->> '$.x_SkuMeterName',
            'x_SkuMeterSubcategory', x_ProviderColumns ->> '$.x_SkuMeterSubcategory',
            'x_TokenType', x_ProviderColumns ->> '$.x_TokenType',
            'x_UsageType', x_ProviderColumns ->> '$.x_UsageType'
        ) AS VARCHAR) AS fields
    FROM focus.cost_and_usage
    WHERE x_Month = $month
),
candidates AS (
    SELECT *
    FROM charges
    WHERE is_of_ai_service
        OR (
            regexp_matches(coalesce(SkuMeter, ''), '(?i)tokens?$|-MP:.*(Input|Output|Cache)|gemini|claude|gpt')
            AND coalesce(ServiceCategory, 'Other') NOT IN ('Identity', 'Security')
        )
),
meters AS MATERIALIZED (
    SELECT fields, ai_meter(fields) AS meter FROM (SELECT DISTINCT fields FROM candidates)
),
named AS (
    SELECT
        candidates.*,
        CASE WHEN is_no_usage THEN NULL ELSE meter.Model END AS Model,
        CASE WHEN is_no_usage THEN NULL ELSE meter.ModelFamily END AS ModelFamily,
        CASE WHEN is_no_usage THEN 'not usage (credit)' ELSE meter.Direction END AS Direction,
        CASE WHEN is_no_usage THEN NULL ELSE meter.Tier END AS Tier,
        CASE WHEN is_no_usage THEN NULL ELSE meter.Unit END AS Unit,
        CASE
            WHEN is_no_usage OR meter.Unit IS NULL THEN NULL
            WHEN meter.Unit = 'tokens' AND ConsumedTokens IS NOT NULL THEN ConsumedTokens
            ELSE PricingQuantity * meter.Per
        END AS Quantity
    FROM candidates
    LEFT JOIN meters USING (fields)
),
prices AS MATERIALIZED (
    SELECT Model, Direction, ai_public_price(Model, Direction, $month) AS PublicPrice
    FROM (SELECT DISTINCT Model, Direction FROM named WHERE Unit = 'tokens' AND Model IS NOT NULL)
),
compared AS (
    SELECT
        named.*,
        PublicPrice,
        CASE
            WHEN Unit = 'tokens' AND Quantity <> 0 AND PublicPrice > 0 AND CostInUSD / Quantity > 0
            THEN CAST(CostInUSD AS DOUBLE) / CAST(Quantity AS DOUBLE) * 1000000 / PublicPrice
        END AS Factor
    FROM named
    LEFT JOIN prices USING (Model, Direction)
)
SELECT
    Month,
    Provider,
    Seller,
    ServiceName,
    Model,
    ModelFamily,
    Direction,
    Tier,
    Unit,
    sum(Quantity) AS Quantity,
    BillingCurrency,
    sum(BilledCost) AS BilledCost,
    sum(EffectiveCost) AS EffectiveCost,
    CAST(sum(EffectiveCost) AS DOUBLE)
        / nullif(CAST(sum(Quantity) FILTER (Unit = 'tokens') AS DOUBLE), 0) * 1000000 AS CostPerMillionTokens,
    any_value(PublicPrice) AS PublicPricePerMillionTokens,
    arg_max(Factor, abs(ln(Factor))) AS PriceFactor,
    count(*) FILTER (Factor >= $unit_error OR Factor <= 1 / $unit_error) AS UnitErrors,
    SkuId,
    SkuMeter,
    SubAccountId,
    Tags
FROM compared
WHERE Direction <> 'not AI' AND (is_of_ai_service OR Direction NOT IN ('unclassified', 'not usage (credit)'))
GROUP BY ALL
ORDER BY sum(EffectiveCost) DESC
