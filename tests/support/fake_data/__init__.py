"""Tiny datasets with the folder layout of the real ones, written without the package."""
