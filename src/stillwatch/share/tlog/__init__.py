"""The transparency log: tree, tiles, signed heads, witnesses."""
