"""How good are answers? The texts and items that variants are compared on, the figures of a comparison, and metrics.

`samples` and `texts` are what is asked, `items` makes of texts what a pipeline takes, `figures` compares answers with
a reference's. On labelled rows: `data` reads them, `columns` and `cells` find what is in them, `metrics` says how many
answers are right. Nothing here knows of torch, tasks, variants, gates or backends.
"""
