"""L1: the one HTTP transport."""
