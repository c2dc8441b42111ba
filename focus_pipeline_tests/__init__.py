"""Tests mirror the package: focus_pipeline_tests/<part>/ tests focus_pipeline/<part>."""
