"""From the verified fp32 graph to a smaller one that still gives its answers: what to quantize, how, and the proof.

`sites` finds what can be quantized, `calibration` watches real inputs pass there, `rounding` makes integers of weights,
`plan` chooses scales, `quality` measures answers, `repair` keeps in higher precision what the answers cannot spare.
"""
