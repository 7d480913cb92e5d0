"""The administrators' dashboard, under /admin."""
