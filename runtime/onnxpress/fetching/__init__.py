"""Files of pictures and sounds that are not on this machine, for callers who allow it."""
