"""Releases <-> signed STIX 2.1."""
