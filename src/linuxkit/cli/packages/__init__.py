"""The commands of ``linuxkit pkg``, a module for each family."""
