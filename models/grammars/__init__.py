"""English text with known answers, written by grammars: the training data of the small models.

Every module makes labelled examples from a seeded `random.Random`. None knows of models,
tokenizers or files.
"""
