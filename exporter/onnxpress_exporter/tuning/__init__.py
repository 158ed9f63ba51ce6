"""Finds the form of a variant that is fastest on this machine: tries, times in turn, judges, keeps a clear winner."""
