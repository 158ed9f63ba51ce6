"""Makes smaller graphs of the verified fp32 graph that still give its answers: what to quantize, how, and the proof.

`sites` finds what can be quantized, `calibration` watches real inputs pass there, `rounding` makes integers of weights,
`plan` chooses scales, `quality` measures answers, `repair` keeps in higher precision what the answers cannot spare.
"""
