-- Restatements, from focus.loads and focus.load_services.
--
-- The first load of a month is none. Loads that were published by a version before focus.load_services are not in it.
-- What changes in a load without moving the costs of a service, such as tags, is not here either.
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
