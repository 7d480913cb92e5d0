"""Measurements and load, runnable by anybody; development only."""
