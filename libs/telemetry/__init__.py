"""Metrics and traces: their names as data, and how code records them."""
