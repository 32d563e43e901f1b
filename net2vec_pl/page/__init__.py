"""``report.html`` of a run, from what its jobs have found."""
