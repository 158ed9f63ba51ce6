"""Sounds: how a caller's sound is opened, and how the program of a manifest is carried out. The only importer of
soundfile and soxr."""
