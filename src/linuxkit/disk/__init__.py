"""L1: disks, file systems and boot files, over the field's own tools and a few short writers."""
