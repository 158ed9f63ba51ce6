"""The Hub: the only importer of huggingface_hub."""
