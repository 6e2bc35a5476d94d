"""The key-holder: a server of its own, never in one hand with the hub."""
