"""The flow of a run and the command line."""
