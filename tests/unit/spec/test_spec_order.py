"""Who comes after whom: names, circles, and an order that fits."""

from __future__ import annotations

import random

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import order
from linuxkit.spec.load import parse


def spec(services: str, rest: str = ""):
    """Services such as ``web: after db, net; db``."""
    lines = ["services:"]
    for one in services.split(";"):
        name, _, said = one.strip().partition(": ")
        lines.append(f"- name: {name}\n  image: x")
        lines += [f"  {key}" for key in said.split(" | ") if key]
    return parse("\n".join(lines) + "\n" + rest, "my.yml")


def faults(services: str, rest: str = "") -> list[tuple[str, str]]:
    with pytest.raises(Error) as caught:
        spec(services, rest)
    return [(e.code, f"{e} ({e.hint})") for e in caught.value.all()]


def names(made) -> list[str]:
    return [made.services[index].name for index in order.services(made)]


def test_services_stand_behind_what_they_come_after():
    assert names(spec("a; b; c")) == ["a", "b", "c"]
    assert names(spec("a: after: [c]; b; c: requires: [b]")) == ["b", "c", "a"]
    assert names(spec("a: after: [services/c]; b; c")) == ["b", "c", "a"]


def test_links_name_places():
    rest = "onboot: [{name: net, image: x}]\nonshutdown: [{name: bye, image: x, requires: [db]}]\n"
    found = order.links(spec("web: after: [net, db] | requires: [db, onboot/net]; db", rest))
    net, db = ("onboot", 0), ("services", 1)
    assert found["services", 0] == ((net, db), (db, net))
    assert found["services", 1] == ((), ())
    assert found["onshutdown", 0] == ((db,), (db,))


def test_a_service_goes_before_an_onboot_container_of_its_name():
    made = spec("web: after: [x]; x", "onboot: [{name: x, image: x}]\n")
    assert order.links(made)["services", 0].after == (("services", 1),)


def test_unknown_names():
    rest = "onboot: [{name: net, image: x}]\nonshutdown: [{name: bye, image: x, requires: [net]}]\n"
    (first, second, third) = faults("web: after: [dbb, ned]; db", rest)
    assert first[0] == second[0] == third[0] == "LK0211"
    assert first[1] == (
        'my.yml:4:11: no container that can come before "web" is called "dbb" [LK0211] (did you mean "db"?)'
    )
    assert "my.yml:4:16" in second[1]
    assert 'did you mean "net"?' in second[1]
    assert 'no service that can come before "bye" is called "net"' in third[1]


@pytest.mark.parametrize(
    ("services", "circle", "place"),
    [
        ("a: after: [a]", "a → a", "my.yml:4:10"),
        ("a; b: requires: [c]; c: after: [b]", "b → c → b", "my.yml:6:13"),
        ("a: after: [b]; b: after: [c] | requires: [d]; c; d: after: [b]", "b → d → b", "my.yml:8:13"),
        ("z: after: [a]; a: after: [b]; b: after: [c]; c: after: [a]", "a → b → c → a", "my.yml:7:10"),
    ],
)
def test_circles_are_shown(services, circle, place):
    ((code, text),) = faults(services)
    assert code == "LK0230"
    assert f"services wait for each other: {circle} " in text
    assert text.startswith(place + ":"), text


def test_any_graph_without_circles_is_put_in_order():
    chance = random.Random(3)
    for _ in range(50):
        count = chance.randrange(1, 12)
        ranks = chance.sample(range(count), count)  # a may come after b when its rank is higher
        lines = []
        for a in range(count):
            before = [f"s{b}" for b in range(count) if ranks[b] < ranks[a] and chance.random() < 0.4]
            lines.append(f"s{a}" + (f": after: [{', '.join(before)}]" if before else ""))
        made = spec("; ".join(lines))
        turns = {index: turn for turn, index in enumerate(order.services(made))}
        assert sorted(turns) == list(range(count))
        for (section, index), found in order.links(made).items():
            assert section == "services"
            assert all(turns[other] < turns[index] for _, other in found.after)
