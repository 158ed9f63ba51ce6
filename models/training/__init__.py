"""How the small models are trained: vocabularies, the loop, metrics and what is written.

It knows nothing of what a text is about; that is `grammars`.
"""
