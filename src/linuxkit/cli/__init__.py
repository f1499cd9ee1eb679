"""L6: the command line; the only layer that prints or exits."""
