"""The Debian archive client: signed indices, dependency closure, .debs as data."""
