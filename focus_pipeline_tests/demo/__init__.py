"""Tests of the demo's deliveries, and of what is told about them."""
