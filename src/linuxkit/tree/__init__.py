"""L1: file-system trees as streams of entries; tar, cpio and compression."""
