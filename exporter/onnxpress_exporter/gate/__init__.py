"""May this be written? Two gates, of models that read and of models that write, behind one protocol.

`answers` asks through the task's pipeline, `writing` by tokens. Both hold raw outputs against the reference's
(`outputs`, `scores`) and judge what counts (`answers`, `expectations`). They know neither PyTorch nor how a variant was
made.
"""
