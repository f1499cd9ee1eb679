"""L3: the YAML language: places, decoding with all errors at once, merging, image labels."""
