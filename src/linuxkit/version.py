"""The version of the tool, a constant so that starting up reads no package metadata."""

__version__ = "0.1.0"
