"""Files of images and masks: decoded, laid upright and brought to the size of a run."""
