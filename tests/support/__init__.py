"""What several test modules need: the command line, made-up data, oracles, stand-ins."""
