"""What the main job costs, beside the ways the same job is done elsewhere."""
