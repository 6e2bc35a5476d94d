"""Blinded traits: the OPRF, shares and seals."""
