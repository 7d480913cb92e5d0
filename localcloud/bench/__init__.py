"""Measurements of localcloud, beside its peers where there are any."""
