"""Models over HTTP: one small process, many artifacts, queues by time, and the protocols that clients speak.

`settings` is what a server is told, `service` what it is; `app` its routes. Needs `onnxpress[serve]`.
"""
