"""From a folder, or a repository on the Hub, to an artifact: one reader for each way that files may be laid out."""
