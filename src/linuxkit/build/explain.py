"""Where images would come from: each source asked in its order, and nothing fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.build.source import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.build.source import Source, Wanted
    from linuxkit.oci.model import Platform


class Answer(NamedTuple):
    """What one source says; None when the reference is not its business."""

    source: str
    look: Look | None


class Explanation(NamedTuple):
    """A reference, what every source says in the order of the search, and which one is taken."""

    wanted: Wanted
    answers: tuple[Answer, ...]
    taken: int | None  # the place in ``answers``; None when nobody has it

    @property
    def digest(self) -> str:
        """Of the image that is taken, where it is known."""
        look = None if self.taken is None else self.answers[self.taken].look
        return look.digest if look else ""


def explain(
    wanted: Wanted, platform: Platform, sources: Sequence[Source], *, offline: bool
) -> Explanation:
    """Ask every source about one reference; what goes wrong with one is its answer."""
    answers = []
    for source in sources:
        try:
            look = source.look(wanted.ref, platform, offline=offline)
        except Error as error:
            look = Look(False, "", note=str(error))
        answers.append(Answer(source.name, look))
    taken = (n for n, answer in enumerate(answers) if answer.look and answer.look.has)
    return Explanation(wanted, tuple(answers), next(taken, None))
