"""The report of a month: one HTML page for people who look at costs, made of the marts."""
