"""Whether a run would work, checked before hours are spent on it."""
