"""Boxes a few tenths of a second late, but smooth and only of tracklets that turned out to be real."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.tracks import Tracks

K = TypeVar("K")
KERNEL='epan'; LINEAR=True; RIDGE=0.0; CONF=False

@dataclass(frozen=True, slots=True, eq=False)
class Released(Generic[K]):
    key: K
    tracks: Tracks
    observed_xyxy: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Pushed(Generic[K]):
    key: K
    pts_seconds: float
    tracks: Tracks


class FixedLagSmoother(Generic[K]):
    def __init__(self, smooth_seconds: float) -> None:
        self._smooth_seconds = smooth_seconds
        self._past: deque[_Pushed[K]] = deque()
        self._pending: deque[_Pushed[K]] = deque()
        self._confirmed: set[int] = set()

    def push(self, key: K, pts_seconds: float, tracks: Tracks) -> list[Released[K]]:
        self._pending.append(_Pushed(key, pts_seconds, tracks))
        self._confirmed.update(tracks.track_id[tracks.confirmed].tolist())
        undecided = tracks.track_id[~tracks.confirmed]
        released = []
        while len(self._pending) > 1:
            f = self._pending[0]
            if pts_seconds - f.pts_seconds < self._smooth_seconds or np.isin(f.tracks.track_id, undecided).any():
                break
            released.append(self._release())
        return released

    def finish(self, ended: tuple[int, ...]) -> list[Released[K]]:
        if self._pending:
            last = self._pending.pop()
            t = replace(last.tracks, ended=tuple(sorted({*last.tracks.ended, *ended})))
            self._pending.append(replace(last, tracks=t))
        return [self._release() for _ in range(len(self._pending))]

    def _release(self):
        frame = self._pending[0]
        while self._past and self._past[0].pts_seconds < frame.pts_seconds - self._smooth_seconds:
            self._past.popleft()
        known = np.array([i in self._confirmed for i in frame.tracks.track_id.tolist()], bool)
        tracks = frame.tracks[known]
        smooth = self._smooth(frame.pts_seconds, tracks)
        self._confirmed.difference_update(frame.tracks.ended)
        self._past.append(self._pending.popleft())
        return Released(frame.key, replace(tracks, xyxy=smooth, confirmed=np.ones(len(tracks), bool)), tracks.xyxy)

    def _smooth(self, now, tracks):
        if len(tracks)==0 or self._smooth_seconds==0: return tracks.xyxy
        near = [f for f in (*self._past, *self._pending) if abs(f.pts_seconds - now) <= self._smooth_seconds]
        ids = np.concatenate([f.tracks.track_id for f in near])
        boxes = np.concatenate([f.tracks.xyxy for f in near]).astype(float)
        conf = np.concatenate([f.tracks.confidence for f in near]).astype(float)
        t = np.repeat([(f.pts_seconds - now) / self._smooth_seconds for f in near], [len(f.tracks) for f in near])
        row = np.searchsorted(tracks.track_id, ids).clip(max=len(tracks)-1)
        ok = tracks.track_id[row] == ids
        row, boxes, t, conf = row[ok], boxes[ok], t[ok], conf[ok]
        a=np.abs(t)
        w={'epan':1-a**2*.999,'box':np.ones_like(a),'tri':1-a*.999,'tricube':(1-(a*.999)**3)**3,'biweight':(1-(a*.999)**2)**2}[KERNEL]
        if CONF: w=w*conf
        n=len(tracks)
        s=np.zeros((n,11)); np.add.at(s,row,np.column_stack([w,w*t,w*t*t,w[:,None]*boxes,(w*t)[:,None]*boxes]))
        s0,s1,s2=s[:,0],s[:,1],s[:,2]; b0,b1=s[:,3:7],s[:,7:]
        if not LINEAR: return (b0/s0[:,None]).astype(np.float32)
        det=s0*s2-s1**2
        s2r=s2+RIDGE
        det=s0*s2r-s1**2
        lin=(s2r[:,None]*b0-s1[:,None]*b1)/np.where(det>1e-9,det,1)[:,None]
        return np.where((det>1e-9)[:,None],lin,b0/s0[:,None]).astype(np.float32)
