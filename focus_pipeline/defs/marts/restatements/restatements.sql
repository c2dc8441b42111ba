-- Restatements, from focus.loads and focus.load_services.
--
-- The first load of a month is not a restatement. Loads by versions without focus.load_services are not included, nor
-- are changes that leave the costs of a service as they were, such as tags.
SELECT
    moved.Month,
    moved.Connection,
    moved.LoadNumber,
    loads.PublishedAt,
    moved.ServiceName,
    moved.BillingCurrency,
    moved.RowsBefore,
    moved.RowsAfter,
    moved.BilledCostBefore,
    moved.BilledCostAfter,
    moved.BilledCostAfter - moved.BilledCostBefore AS BilledCostChange,
    moved.EffectiveCostBefore,
    moved.EffectiveCostAfter,
    moved.EffectiveCostAfter - moved.EffectiveCostBefore AS EffectiveCostChange
FROM focus.load_services AS moved
JOIN focus.loads USING (Connection, Month, LoadNumber)
WHERE moved.Month = $month
ORDER BY moved.LoadNumber, abs(moved.BilledCostAfter - moved.BilledCostBefore) DESC
