"""Bugs that are planted one at a time into a copy of the project, and the fast tests that have to find each."""
