"""Evidence classes: one file each."""
