"""L5: where images come from."""
