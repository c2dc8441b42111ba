"""Made-up FOCUS deliveries to try the pipeline with, and the figures that its table then shows.

Each `<connection>.sql` says what one connection delivers in a month; shared.sql has what they share.
"""
