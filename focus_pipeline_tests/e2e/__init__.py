"""Tests of the whole product: real Dagster instance, daemon, UI and browser."""
