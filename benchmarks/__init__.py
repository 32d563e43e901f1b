"""Speed and memory, each against a named rival in the same run: ``python -m benchmarks``."""
