"""python -m focus_pipeline_tests.bench [backfill] [bigquery] [listing] [marts] [months]: without an argument, all."""

import sys

from focus_pipeline_tests.bench import backfill, bigquery, listing, marts, months

SECTIONS = {
    "backfill": backfill.main,
    "bigquery": bigquery.main,
    "listing": listing.main,
    "marts": marts.main,
    "months": months.main,
}

for section in sys.argv[1:] or SECTIONS:
    SECTIONS[section]()
