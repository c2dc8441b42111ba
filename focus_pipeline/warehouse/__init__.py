"""The unified table: where it is, its tables and views, and how a month of a connection is put into it.

A warehouse is a DuckDB file, or a DuckLake: a catalogue in SQLite or Postgres over Parquet files.
"""
