"""From token ids to token ids: what may come next, which token it is, and when it is enough. Knows no text."""
