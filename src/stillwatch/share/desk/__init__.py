"""A lab's desk: what went out, what came in, who decided what."""
