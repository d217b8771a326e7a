"""Building blocks and networks; they know tensors, not tasks or files."""
