"""L5: what brings an artifact to where machines find it."""
