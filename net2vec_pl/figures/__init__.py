"""Figures: functions from arrays to a matplotlib ``Figure``; nothing here knows of a run."""
