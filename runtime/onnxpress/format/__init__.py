"""What is on disk: the manifest, its schema, the files of an artifact."""
