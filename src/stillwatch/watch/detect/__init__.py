"""The stages of a run, each with a typed result: read, settle, test, tell."""
