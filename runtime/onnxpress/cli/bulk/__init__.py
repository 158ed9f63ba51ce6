"""`onnxpress batch`: a whole file or folder, answered in parts that are on the disk before the next begins."""
