"""What is written into an artifact beside its graphs."""
