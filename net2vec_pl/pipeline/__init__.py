"""The job of a run on plain objects: no file here knows where its options come from."""
