"""Notes of a study: what the analysis of its points had to say, each said once, with the points that it is of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from stochbind.engine.plan import Plan

#: A number that stands alone.
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]|\.\d)")
#: Steps longer than so many decay times of the slowest mode leave most of the ledger to expectation.
_LONG_STEP = 3.0


class Notes:
    """Notes of the points of a sweep, merged where they differ in numbers only.

    Parameters
    ----------
    names : sequence of str
        Of the oscillators. Where they are numbers, these tell notes apart, unless they are percentages.
    n_points : int
        Number of points of the sweep.
    """

    def __init__(self, names: Sequence[str], n_points: int) -> None:
        self._names, self._n_points = frozenset(names), n_points
        self._found: dict[tuple[str, ...], tuple[list[int], list[list[str]]]] = {}

    def add(self, point: int, notes: Iterable[str]) -> None:
        """Take in the notes of a point; points come in their order."""
        for note in notes:
            words, numbers = self._parts(note)
            at, seen = self._found.setdefault(words, ([], [[] for _ in numbers]))
            if point not in at:
                at.append(point)
            for place, number in zip(seen, numbers, strict=True):
                place.append(number)

    def told(self) -> Iterator[str]:
        """Each note once: with the smallest and the largest of its numbers, after the points unless it is of all."""
        for words, (at, numbers) in self._found.items():
            spans = [*map(_span, numbers), ""]
            note = "".join(word + span for word, span in zip(words, spans, strict=True))
            yield note if len(at) == self._n_points else f"Point{'s' * (len(at) > 1)} {runs(at)}: {note}"

    def _parts(self, note: str) -> tuple[tuple[str, ...], list[str]]:
        """The words between the numbers of a note, one more than these."""
        words, numbers, end = [], [], 0
        for match in _NUMBER.finditer(note):
            share = note[match.end() :].lstrip(" ").startswith("%")
            if share or match.group() not in self._names:
                words.append(note[end : match.start()])
                numbers.append(match.group())
                end = match.end()
        return (*words, note[end:]), numbers


def _span(numbers: Sequence[str]) -> str:
    """The smallest and the largest of numbers, as they were written."""
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if float(low) == float(high) else f"{low} to {high}"


def runs(numbers: Sequence[int]) -> str:
    """Ascending whole numbers, runs of three or more by their ends: "0, 1, 4 to 8"."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][-1] + 1:
            ends[-1].append(number)
        else:
            ends.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in ends)


def step_note(plan: Plan) -> str | None:
    """A sentence if a ledger is kept, and the steps are long beside the slowest decay; else None."""
    stability = plan.scenario.langevin().stability
    length = -stability.growth_rate * plan.step
    if not plan.ledger or not stability.stable or length <= _LONG_STEP:
        return None
    return (
        f"A step lasts {length:.3g} decay times of the slowest mode; most of what happens within it is not simulated, "
        "and the ledger counts what is expected. Steps of a tenth to one decay time are best."
    )
