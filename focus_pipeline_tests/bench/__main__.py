"""python -m focus_pipeline_tests.bench [backfill] [bigquery] [listing] [months]: all of them without an argument."""

import sys

from focus_pipeline_tests.bench import backfill, bigquery, listing, months

SECTIONS = {"backfill": backfill.main, "bigquery": bigquery.main, "listing": listing.main, "months": months.main}

for section in sys.argv[1:] or SECTIONS:
    SECTIONS[section]()
