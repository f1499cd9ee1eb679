"""Systems built from stock packages, and machines that boot them."""

from __future__ import annotations

import pytest

from support.machines import Workshop, cache_folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """One store for all boots, and a folder for what is built."""
    fallback = tmp_path_factory.mktemp("cache")
    return Workshop(tmp_path_factory.mktemp("systems"), cache_folder(fallback))


@pytest.fixture
def boot(workshop, need):
    """Start machines that end with the test; a failure shows their consoles and records."""
    need("qemu-system-x86_64")
    running = []

    def start(artifact, **options):
        machine = workshop.boot(artifact, **{"memory_mib": 384, **options})
        running.append(machine)
        return machine

    yield start
    for machine in running:
        machine.close()
        said = [f"--- console\n{machine.console.decode(errors='replace')}", "--- records"]
        print("\n".join([*said, *map(str, machine.records)]))  # noqa: T201 - for a failure's report
