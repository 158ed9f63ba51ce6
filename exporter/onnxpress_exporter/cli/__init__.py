"""The exporter's commands: parse, call, print."""
