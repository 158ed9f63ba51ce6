"""Pictures: opened from what a caller has, and made into arrays as the manifest says. The only importer of Pillow."""
