"""Tracklets followed back in time from where they begin: their early, unsure sightings.

Unsure detections go on with a tracklet and never begin one, so who steps out from behind somebody else has none until
the detector is sure. In a recording that moment is known, and from there on what ByteTrack does forwards is done
backwards: by the same motion filter and the same rounds, with the detections that nobody took.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.bytetrack import find_known
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.matching import Matching
from vidan.trackers.reach import overlapping, reach_of
from vidan.trackers.tracklets import ClassGroups, Tracklets
from vidan.trackers.tracks import Affine, Tracks


@dataclass(slots=True, eq=False)
class Moment:
    """One frame as it is known by now.

    Attributes:
        pts_seconds: Its time.
        tracks: Of the tracklets seen in it.
        unclaimed: Detections that are nobody's.
        motion: From the frame before; see `Tracker.update`.
    """

    pts_seconds: float
    tracks: Tracks
    unclaimed: Detections
    motion: Affine | None = None

    def claim(self, columns: NDArray[np.intp], rows: Tracks) -> None:
        """Makes these detections sightings of tracklets, with a row each."""
        is_free = np.ones(len(self.unclaimed), np.bool_)
        is_free[columns] = False
        self.unclaimed = self.unclaimed[is_free]
        tracks = Tracks.concatenated([self.tracks, rows], ended=self.tracks.ended)
        self.tracks = tracks[np.argsort(tracks.track_id)]


class Backwards:
    """Follows tracklets back from where they begin.

    A detection that fits somebody better who was seen in that frame is left alone: it is a second box of that one.

    Args:
        high_confidence: Detections of at least this are sure.
        low_confidence: Detections of at least this may be somebody.
        patience_seconds: How long nothing may be seen of a tracklet until it is given up.
        groups: Classes of one group may swap.
    """

    def __init__(
        self, *, high_confidence: float, low_confidence: float, patience_seconds: float, groups: ClassGroups
    ) -> None:
        self._high_confidence = high_confidence
        self._low_confidence = low_confidence
        self._patience_seconds = patience_seconds
        self._groups = groups

    def follow(
        self, moments: Iterable[Moment], known: Tracks, span: Mapping[int, tuple[float, float]]
    ) -> Iterator[tuple[float, Tracks]]:
        """Finds sightings before the first ones; the moments then have them.

        Args:
            moments: Newest first. Those in which the tracklets were seen tell how they move where they begin.
            known: A row of each that is followed, by ascending id: what it is.
            span: By id, between which times they are looked for; the later one is that of the first sighting.

        Yields:
            The time of a moment in which some were found, newest first, and their rows.
        """
        tracklets = Tracklets(
            motion=BoxKalman(), confirm_frames=1, confirm_seconds=1.0, lost_after_seconds=self._patience_seconds
        )
        ids: list[int] = []  # of all that were begun so far
        earliest = min(first for _, first in span.values())
        motion: Affine | None = None
        for moment in moments:
            if moment.pts_seconds < earliest and len(tracklets) == 0:
                return
            tracklets.advance(-moment.pts_seconds)
            if motion is not None:
                tracklets.motion.warp(_inverse(motion))
            motion = moment.motion
            names = [ids[number - 1] for number in tracklets.track_id.tolist()]
            is_before = np.array([span[name][0] < moment.pts_seconds < span[name][1] for name in names], np.bool_)
            rows, columns = self._find(tracklets, is_before, moment)
            ids += self._see(tracklets, names, moment, rows, columns, known)
            if len(rows):
                found = known[np.searchsorted(known.track_id, [names[row] for row in rows.tolist()])]
                confidence = moment.unclaimed.confidence.take(columns)
                found = replace(found, xyxy=tracklets.motion.xyxy(rows), confidence=confidence)
                moment.claim(columns, found)
                yield moment.pts_seconds, found

    def _find(
        self, tracklets: Tracklets, is_before: NDArray[np.bool_], moment: Moment
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Tracklets that are before their first sightings, and unclaimed detections that are sightings of theirs."""
        unclaimed = moment.unclaimed
        reach, group = reach_of(unclaimed.xyxy), self._groups.of(unclaimed.class_id)
        matching = Matching(tracklets, reach, group, True)
        fit = np.where(is_before.take(matching.rows), matching.similarity, 0)
        is_free = _best(fit, matching.columns, reach.shape[1]) >= self._likeness_to_seen(moment.tracks, reach, group)
        is_sure = unclaimed.confidence >= self._high_confidence
        is_unsure = (unclaimed.confidence >= self._low_confidence) & ~is_sure
        likeness = matching.similarity * unclaimed.confidence.take(matching.columns)
        find_known(matching, is_before, is_sure & is_free, is_unsure & is_free, likeness)
        return matching.pairs

    def _likeness_to_seen(
        self, seen: Tracks, reach: NDArray[np.float32], group: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(M,) how well detections fit those who were seen with another one in the same frame: the best of each."""
        seen_reach = reach_of(seen.xyxy)
        rows, columns, similarity = overlapping(seen_reach, reach)
        is_one_group = self._groups.of(seen.class_id).take(rows) == group.take(columns)
        return _best(similarity * is_one_group, columns, reach.shape[1])

    def _see(
        self,
        tracklets: Tracklets,
        names: Sequence[int],
        moment: Moment,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        known: Tracks,
    ) -> list[int]:
        """Takes in what was found, and what the tracker saw; ids of those that are begun here."""
        own = moment.tracks[np.isin(moment.tracks.track_id, known.track_id)]
        found = moment.unclaimed[columns]
        row_of = {name: row for row, name in enumerate(names)}
        own_rows = np.array([row_of.get(name, -1) for name in own.track_id.tolist()], np.intp)
        again, born = (own_rows >= 0).nonzero()[0], (own_rows < 0).nonzero()[0]
        sightings = Detections(
            np.concatenate([own.xyxy, found.xyxy]),
            np.concatenate([own.confidence, found.confidence]),
            np.concatenate([own.class_id, found.class_id]),
        )
        tracklets.see(
            np.concatenate([own_rows[again], rows]),
            np.concatenate([again, len(own) + np.arange(len(found))]),
            sightings,
            born,
            self._groups.of(sightings.class_id),
        )
        return own.track_id[born].tolist()


def _best(values: NDArray[np.float32], columns: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """(count,) the greatest value of each column, at least 0."""
    best = np.zeros(count, np.float32)
    np.maximum.at(best, columns, values)
    return best


def _inverse(motion: Affine) -> Affine:
    """The way back."""
    linear = np.linalg.inv(motion[:, :2]).astype(np.float64)
    return np.hstack([linear, -linear @ motion[:, 2:]])
