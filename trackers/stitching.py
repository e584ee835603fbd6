"""A second look at tracklets, some seconds late: their beginnings are found, ends that fit joined, short gaps filled.

A tracker must answer at once, so a tracklet that loses its object for longer than the tracker waits comes back as
somebody else, while it is lost there is no box, and it begins no sooner than the detector is sure. Some seconds later
both sides of a gap are known: where the track was going and where it came from. Whoever counts a recording can wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, TypeVar

import lap
import numpy as np

from vidan.detector import Detections
from vidan.trackers.backwards import Backwards, Moment
from vidan.trackers.ends import LOOK_SECONDS, Sightings, misfit
from vidan.trackers.gaps import Gap, Gaps
from vidan.trackers.tracklets import ClassGroups
from vidan.trackers.tracks import Affine, Tracks

Key = TypeVar("Key")

_NO_MATCH = 2.0  # a cost that is never paid


@dataclass(frozen=True, slots=True)
class Join:
    """Two tracklets that are one.

    Attributes:
        track_id: The id that stays, that of the first tracklet of the chain.
        joined_id: The id of the tracklet that goes on with it, as the tracker gave it.
        from_seconds: Last sighting of the earlier one.
        to_seconds: First sighting of the later one.
    """

    track_id: int
    joined_id: int
    from_seconds: float
    to_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Stitched(Generic[Key]):
    """One frame as it looks when tracklets are joined.

    Attributes:
        key: What the frame was pushed with.
        pts_seconds: Its time.
        tracks: Rows with the ids of the joined tracklets; `observed` is False in those that fill a gap.
    """

    key: Key
    pts_seconds: float
    tracks: Tracks


@dataclass(slots=True)
class _Life:
    """When a tracklet was seen first and last (the rows of these frames), and what became of it."""

    first_seconds: float
    last_seconds: float
    frame: int
    first: Tracks
    last: Tracks
    is_over: bool = False

    @property
    def is_confirmed(self) -> bool:
        return bool(self.last.confirmed[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Frame(Generic[Key]):
    key: Key
    moment: Moment


class Stitcher(Generic[Key]):
    """Holds frames back until nothing can change in them any more; releases each once, in order.

    A tracklet goes on with an earlier one that was seen last at most `gap_seconds` before it was seen first, if both
    are of one class group and the way over the gap fits: the step to the mean of both velocities, the heights to each
    other (`misfit`). All that wait at one time are assigned to each other together, with the least sum of misfits
    (Jonker and Volgenant, 1987); it is the linking of tracklets of Perera et al. (CVPR 2006), without splits and
    merges. The earlier one takes part once the tracker gave it up, the later one is decided once it has lived as long
    as a tracker waits, so nothing is joined that the tracker still might find itself. Frames wait for `lag_seconds`.

    Gaps of a track, its own and those between joined ones, are filled with straight lines between the boxes, with
    confidence 0, up to `fill_seconds`, which is the interpolation of Zhang et al. (ByteTrack, ECCV 2022, section 4.1).
    In longer gaps nobody knows where an object was; a line that lies in one is still crossed by it.

    When a tracklet is decided, it is followed back from where it begins, through the detections that the tracker left
    unclaimed (`Backwards`): to the one that it goes on with, or as long as the gaps between its sightings are such as
    are filled and frames wait, which is `gap_seconds`.

    Args:
        gap_seconds: Longest gap over which tracklets are joined.
        fill_seconds: Longest gap that is filled, and over which a tracklet is followed back.
        lost_after_seconds: After what time the tracker gives up a tracklet.
        high_confidence: Detections of at least this are sure to the tracker.
        low_confidence: Detections of at least this go on with its tracklets.
        class_groups: Group of a class id, from 0; see `ByteTracker`.

    Raises:
        ValueError: If a time is negative.
    """

    def __init__(
        self,
        *,
        gap_seconds: float = 2.5,
        fill_seconds: float = 0.7,
        lost_after_seconds: float = 2.5,
        high_confidence: float = 0.3,
        low_confidence: float = 0.1,
        class_groups: Mapping[int, int] | None = None,
    ) -> None:
        if not (gap_seconds >= 0 and fill_seconds >= 0 and lost_after_seconds >= 0):
            raise ValueError(f"times must not be negative, got {gap_seconds}, {fill_seconds}, {lost_after_seconds} s")
        self._gap_seconds = gap_seconds
        self._fill_seconds = fill_seconds
        self._patience = max(lost_after_seconds, LOOK_SECONDS)
        self._groups = ClassGroups(class_groups)
        self._backwards = Backwards(
            high_confidence=high_confidence,
            low_confidence=low_confidence,
            patience_seconds=fill_seconds,
            groups=self._groups,
        )
        self._frames: deque[_Frame[Key]] = deque()  # released ones first, as long as they are needed to look back
        self._released = 0
        self._pushed = 0
        self._lives: dict[int, _Life] = {}
        self._unlinked: set[int] = set()  # tracklets that may still turn out to go on with an earlier one
        self._names: dict[int, int] = {}  # id of a later tracklet -> id of the first one of its chain
        self._continued: set[int] = set()  # tracklets that another one goes on with, until their end is released
        self._gaps = Gaps(fill_seconds)
        self.joins: list[Join] = []
        """All of them so far, in the order in which they were found."""
        self.found_rows = 0
        """How many sightings before the beginnings of tracklets were found so far."""

    @property
    def filled_rows(self) -> int:
        """How many rows were put into gaps so far."""
        return self._gaps.rows

    @property
    def lag_seconds(self) -> float:
        """How long a frame waits."""
        return max(self._gap_seconds + self._patience, self._fill_seconds)

    def push(
        self,
        key: Key,
        pts_seconds: float,
        tracks: Tracks,
        unclaimed: Detections | None = None,
        motion: Affine | None = None,
    ) -> list[Stitched[Key]]:
        """Takes in the newest frame; the frames that can be released now, oldest first.

        Args:
            key: Comes back with the frame.
            pts_seconds: Its time.
            tracks: The tracker's answer.
            unclaimed: The detections that are in nobody's row; see `Tracker.unclaimed`.
            motion: Of the camera, as the tracker was told.
        """
        unclaimed = Detections.empty() if unclaimed is None else unclaimed
        self._frames.append(_Frame(key, Moment(pts_seconds, tracks, unclaimed, motion)))
        self._pushed += 1
        for row, track_id in enumerate(tracks.track_id.tolist()):
            self._see(track_id, pts_seconds, tracks[row : row + 1])
        for track_id in tracks.ended:
            self._lives[track_id].is_over = True
        self._link(pts_seconds)
        released = []
        while self._frames[self._released].moment.pts_seconds < pts_seconds - self.lag_seconds:
            released.append(self._release())
        return released

    def finish(self, ended: Iterable[int]) -> tuple[list[Stitched[Key]], tuple[int, ...]]:
        """All frames that still wait, oldest first, and the ids alive to the end; those of the tracker are given."""
        ended = tuple(ended)
        for track_id in ended:
            self._lives[track_id].is_over = True
        self._link(np.inf)
        released = [self._release() for _ in range(len(self._frames) - self._released)]
        return released, self._names_of_ended(ended)

    def _see(self, track_id: int, pts_seconds: float, row: Tracks) -> None:
        life = self._lives.get(track_id)
        if life is None:
            self._lives[track_id] = _Life(pts_seconds, pts_seconds, self._pushed, row, row)
            self._unlinked.add(track_id)
            return
        if life.frame < self._pushed - 1:
            self._gaps.add(Gap(life.last_seconds, pts_seconds, life.last, row))
        life.last_seconds, life.frame, life.last = pts_seconds, self._pushed, row

    def _link(self, now_seconds: float) -> None:
        """Decides about the tracklets whose time has come, and forgets those that are past."""
        due = {key for key in self._unlinked if self._lives[key].first_seconds <= now_seconds - self._patience}
        if due:
            later = [
                track_id
                for track_id in sorted(self._unlinked)
                if self._lives[track_id].is_confirmed
                and self._lives[track_id].first_seconds <= now_seconds - LOOK_SECONDS
            ]
            self._decide(due, later)
            self._unlinked -= due
        for track_id, life in tuple(self._lives.items()):
            if life.last_seconds < now_seconds - self.lag_seconds and (life.is_over or not life.is_confirmed):
                del self._lives[track_id]

    def _decide(self, due: Collection[int], later: Sequence[int]) -> None:
        """Where those that are due began, and who of them goes on with whom; all later ones are in question for that.

        A tracklet is not followed beyond the one that it goes on with. Who goes on with nobody may do so once more is
        known of its beginning.
        """
        earlier = [key for key, life in self._lives.items() if life.is_over and key not in self._continued]
        joined = {after: before for before, after in self._pairs(earlier, later) if after in due}
        not_before = {after: self._lives[before].last_seconds for after, before in joined.items()}
        if self._follow_back([key for key in later if key in due], not_before):
            earlier = [key for key in earlier if key not in joined.values()]
            pairs = self._pairs(earlier, [key for key in later if key not in joined])
            joined |= {after: before for before, after in pairs if after in due}
        for before, after in sorted((before, after) for after, before in joined.items()):
            self._join(before, after)

    def _follow_back(self, track_ids: Sequence[int], not_before: Mapping[int, float]) -> bool:
        """Looks for sightings before the first ones of these tracklets, by ascending id; whether there were any."""
        if not track_ids:
            return False
        lives = {track_id: self._lives[track_id] for track_id in track_ids}
        known = Tracks.concatenated([life.last for life in lives.values()], ended=())
        span = {key: (not_before.get(key, -np.inf), life.first_seconds) for key, life in lives.items()}
        waiting = [frame.moment for frame in islice(self._frames, self._released, None)]
        found_before = self.found_rows
        for seconds, rows in self._backwards.follow(reversed(waiting), known, span):
            self.found_rows += len(rows)
            for index, track_id in enumerate(rows.track_id.tolist()):
                life, row = lives[track_id], rows[index : index + 1]
                self._gaps.add(Gap(seconds, life.first_seconds, row, life.first))
                life.first_seconds, life.first = seconds, row
        return self.found_rows > found_before

    def _pairs(self, earlier: Sequence[int], later: Sequence[int]) -> list[tuple[int, int]]:
        """The best assignment of later tracklets to earlier ones."""
        starts = [self._lives[track_id].first_seconds for track_id in later]
        ends = [self._lives[track_id].last_seconds for track_id in earlier]
        gaps = np.subtract.outer(ends, starts).reshape(len(ends), len(starts))
        candidates = np.argwhere((gaps < 0) & (gaps >= -self._gap_seconds)).tolist()
        if not candidates:
            return []
        sightings = Sightings.of((frame.moment.pts_seconds, frame.moment.tracks) for frame in self._frames)
        cost = np.full(gaps.shape, _NO_MATCH)
        for i, j in candidates:
            end = sightings.end(earlier[i], ends[i], self._groups)
            cost[i, j] = min(misfit(end, sightings.end(later[j], starts[j], self._groups)), _NO_MATCH)
        _, matched, _ = lap.lapjv(cost, extend_cost=True, cost_limit=1.0)
        return [(earlier[i], later[j]) for i, j in enumerate(matched.tolist()) if j >= 0]

    def _join(self, before: int, after: int) -> None:
        first, second = self._lives[before], self._lives[after]
        name = self._names[after] = self._names.get(before, before)
        self._continued.add(before)
        self.joins.append(Join(name, after, first.last_seconds, second.first_seconds))
        self._gaps.add(Gap(first.last_seconds, second.first_seconds, first.last, second.first))

    def _release(self) -> Stitched[Key]:
        frame = self._frames[self._released]
        pts_seconds = frame.moment.pts_seconds
        self._released += 1
        while self._frames[0].moment.pts_seconds < pts_seconds - LOOK_SECONDS:
            self._frames.popleft()
            self._released -= 1
        return Stitched(frame.key, pts_seconds, self._renamed(self._gaps.fill(frame.moment.tracks, pts_seconds)))

    def _renamed(self, tracks: Tracks) -> Tracks:
        """With the names of the chains, in their order."""
        names = [self._names.get(track_id, track_id) for track_id in tracks.track_id.tolist()]
        track_id = np.array(names, np.int64)
        confirmed = tracks.confirmed | (track_id != tracks.track_id)
        ended = self._names_of_ended(tracks.ended)
        return replace(tracks, track_id=track_id, confirmed=confirmed, ended=ended)[np.argsort(track_id)]

    def _names_of_ended(self, ended: Iterable[int]) -> tuple[int, ...]:
        """Names of the chains that are over with the last of these tracklets, of which no row is still to come."""
        names = {track_id: self._names.pop(track_id, track_id) for track_id in ended}
        over = sorted(name for track_id, name in names.items() if track_id not in self._continued)
        self._continued.difference_update(names)
        return tuple(over)
