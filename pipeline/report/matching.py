"""Which counted events are which true ones: one to one, as many as possible, within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence


def match_times(reference: Sequence[float], counted: Sequence[float], tolerance: float) -> list[tuple[int, int]]:
    """Pairs of indices (reference, counted) whose times differ by at most `tolerance`.

    Walking along both and pairing the earliest two that fit loses nothing: with the same tolerance around every event,
    whatever fits the earlier one of two and also the later one may as well be given to the earlier (maximum matching
    in a convex bipartite graph, Glover 1967). So no matching has more pairs.

    Args:
        reference: Seconds, ascending.
        counted: Seconds, ascending.
        tolerance: Seconds, at least 0.
    """
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(reference) and j < len(counted):
        early = counted[j] - reference[i]
        if abs(early) <= tolerance:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif early < 0:
            j += 1
        else:
            i += 1
    return pairs
