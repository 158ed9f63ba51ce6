"""Chat templates and tool calls: the only importer of the template engine."""
