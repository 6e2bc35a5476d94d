"""What the range refuses."""


class SpecError(ValueError):
    """A spec or a world that cannot be used; the message names file and field."""
