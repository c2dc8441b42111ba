"""python -m focus_pipeline_tests.bench [anomalies] [backfill] [bigquery] …: without an argument, all of SECTIONS."""

import sys

from focus_pipeline_tests.bench import anomalies, backfill, bigquery, forecast, listing, marts, months

SECTIONS = {
    "anomalies": anomalies.main,
    "backfill": backfill.main,
    "bigquery": bigquery.main,
    "forecast": forecast.main,
    "listing": listing.main,
    "marts": marts.main,
    "months": months.main,
}

for section in sys.argv[1:] or SECTIONS:
    SECTIONS[section]()
