"""Searches that follow several texts at once or read ahead: beams, and guesses that are checked."""
