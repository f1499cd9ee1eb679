"""L2: references, manifests, the content-addressed store, and layers flattened to trees."""
