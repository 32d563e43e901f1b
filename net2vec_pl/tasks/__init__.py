"""The tasks of the command line: each turns options into objects and calls the room behind it."""
