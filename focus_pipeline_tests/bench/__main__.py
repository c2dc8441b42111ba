"""python -m focus_pipeline_tests.bench [backfill] [months]: both without an argument."""

import sys

from focus_pipeline_tests.bench import backfill, months

SECTIONS = {"backfill": backfill.main, "months": months.main}

for section in sys.argv[1:] or SECTIONS:
    SECTIONS[section]()
