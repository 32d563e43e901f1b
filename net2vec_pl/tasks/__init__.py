"""Whole jobs, one file each; ``train.py task=NAME`` runs one."""
