"""The task's own metric on labelled data: a file or a dataset -> rows -> items and targets -> figures.

`data` reads rows, `columns` finds what is in them, `items` makes what the task's pipeline takes and what it should
answer, `metrics` compares. Nothing here knows of variants, gates or backends.
"""
