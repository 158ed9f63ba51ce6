"""Decides whether graphs may be written: two gates behind one protocol, for models that read and for those that write.

`answers` asks through the task's pipeline, `writing` by tokens. Both hold raw outputs against the reference's
(`outputs`, `scores`) and judge what counts (`answers`, `expectations`). They know neither PyTorch nor how a variant was
made.
"""
