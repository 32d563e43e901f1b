"""Runs beside one another, as tables, figures and a page."""
