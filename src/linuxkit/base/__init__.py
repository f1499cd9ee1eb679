"""L0: errors, places, digests, events, processes, files and platforms; standard library only."""
