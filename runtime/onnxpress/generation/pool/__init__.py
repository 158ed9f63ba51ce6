"""Memory for keys and values: the rows of one call, and what earlier calls have read."""
