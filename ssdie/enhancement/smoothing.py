r"""Temporal smoothing of the corrections of a video: the network runs on every n-th frame, and its maps are smoothed.

Corrections computed frame by frame flicker. Here the maps follow the newest ones by an exponential moving average:

.. math:: c \leftarrow c + s\,(c_\text{newest} - c), \qquad s = \max(1 - e^{-1/\tau},\ (m / m_\text{cut})^2)

slowly where the picture is static, at once where something new comes into view; a cut resets the average. Here
:math:`m` is the distance of a pixel from its own moving average, which is updated with the same :math:`s`. Leaders and
fades are not corrected, since they show no scene. The strength that follows the dust score changes by
:math:`1 - e^{-1/\tau}` a frame in all pixels, so that the whole picture changes together.
"""

import math

import numpy as np

from ssdie.enhancement.correction import Correction
from ssdie.enhancement.runtime import Model
from ssdie.enhancement.strength import AUTO, Strength, find_strength, smoothstep

EVERY = 8  # the network runs on every n-th frame
MEMORY = 1.0  # time constant of the moving average in a static picture; seconds
CUT = 0.1  # mean difference of two frames above which a new scene begins
RADIUS = 5  # of the window in which motion is averaged; pixels at the working size
# Below the first value nothing is corrected, above the second everything: leaders and fades do not change.
CONTRAST, BRIGHTNESS = (0.012, 0.04), (0.06, 0.25)  # standard deviation and mean of the luminance, in [0, 1]
FADE = 0.008  # smallest change of the mean from frame to frame that may be a fade; in [0, 1]
FADE_OUT, FADE_IN = 6, 12  # frames over which the correction fades out when a fade begins, and in when it has ended
LUMINANCE = np.array((0.299, 0.587, 0.114), np.float32)


class Smoother:
    """Computes the correction of each frame of a video.

    Args:
        model: from `load_model`.
        memory: time constant of the moving average in a static picture; frames. 0: no smoothing.
        every: the network runs on every n-th frame, and after each cut.
        cut: mean difference of two frames, in [0, 1], above which a new scene begins.
        postprocess: adjust veil and levels after the network.
        strength: of the correction, [0, 1]; "auto" follows the dust score.

    Attributes:
        scores: dust scores of the frames that the network processed, if it has a score.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(
        self,
        model: Model,
        memory: float,
        every: int = EVERY,
        cut: float = CUT,
        postprocess: bool = True,
        strength: Strength = AUTO,
    ):
        if every < 1:
            raise ValueError(f"every: expected at least 1 frame, got {every}.")
        self.model, self.every, self.cut, self.postprocess = model, every, cut, postprocess
        self.share = 1 - math.exp(-1 / memory) if memory > 0 else 1.0
        self.before: np.ndarray | None = None  # the last small frame
        self.past: np.ndarray | None = None  # moving average of the small frames
        self.newest: Correction | None = None
        self.current: Correction | None = None
        self.settled = 1.0  # 0 in a fade or leader, 1 in a scene
        self.since = 0  # frames since the network's last run
        self.strength, self.current_strength = strength, 1.0
        self.scores: list[float] = []

    def follow(self, small: np.ndarray) -> Correction:
        """Return the correction of the next frame, (h, w, 3) in [0, 1]; the identity for a frame without structure."""
        alike = self.before is not None and self.before.shape == small.shape
        fresh = not alike or float(np.abs(small - self.before).mean()) > self.cut
        shown = structure(small)
        if fresh:
            self.settled, self.newest, self.current = 1.0, None, None
        elif shown == 0:
            self.settled = 0.0
        elif is_fading(self.before, small):
            self.settled = max(0.0, self.settled - 1 / FADE_OUT)
            if self.past is not None:
                self.past = match_exposure(self.past, small)  # a change of exposure is not motion
        else:
            self.settled = min(1.0, self.settled + 1 / FADE_IN)
        self.before = small
        weight = shown * smoothstep(self.settled, 0, 1)
        if weight == 0:
            self.newest = self.current = None
            return Correction.identity(*small.shape[:2])
        if self.newest is None or self.since >= self.every:
            self.newest = self.model.correct(small, self.postprocess)
            self.since = 0
            if self.newest.dust_score is not None:
                self.scores.append(self.newest.dust_score)
        self.since += 1
        newest_strength = find_strength(self.strength, self.newest.dust_score)
        if self.current is None:
            self.past, self.current, self.current_strength = small, self.newest, newest_strength
        else:
            self._move(small)
            self.current_strength += self.share * (newest_strength - self.current_strength)
        return self.current.scaled(weight * self.current_strength)

    def _move(self, small: np.ndarray) -> None:
        """Update both moving averages: by `share` where the picture is static, fully where something new is in view."""
        moved = np.abs(small - self.past).mean(2) / self.cut
        share = box_mean(np.clip(moved**2, self.share, 1).astype(np.float32), RADIUS)
        self.past = self.past + share[..., None] * (small - self.past)
        self.current = Correction(self.current.maps + share * (self.newest.maps - self.current.maps))


def structure(small: np.ndarray) -> float:
    """Measure whether a frame shows a scene: 0 for leaders and flat frames, 1 for scenes, between them in fades.

    Example:
        >>> structure(np.zeros((9, 16, 3), np.float32))
        0.0
    """
    luminance = small @ LUMINANCE
    return smoothstep(float(luminance.std()), *CONTRAST) * smoothstep(float(luminance.mean()), *BRIGHTNESS)


def is_fading(before: np.ndarray, small: np.ndarray) -> bool:
    """Whether the change from one frame to the next is mainly one of brightness."""
    change = abs(float(small.mean() - before.mean()))
    return change > FADE and float(np.abs(small - match_exposure(before, small)).mean()) < change / 2


def match_exposure(past: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Return `past` with the contrast and brightness of `small`, as if only the exposure had changed.

    Example:
        >>> past = np.random.default_rng(0).random((9, 16, 3))
        >>> bool(np.allclose(match_exposure(past, 0.5 * past + 0.2), 0.5 * past + 0.2))
        True
    """
    centered, mean = past - past.mean(), small.mean()
    gain = float((centered * (small - mean)).sum() / max(float((centered**2).sum()), 1e-9))
    return (mean + min(max(gain, 0.0), 4.0) * centered).astype(past.dtype)


def box_mean(image: np.ndarray, radius: int) -> np.ndarray:
    """Mean over a square window of side 2 radius + 1, cropped at the border; (h, w).

    Example:
        >>> box_mean(np.array([[0.0, 3.0, 6.0]]), 1).tolist()
        [[1.5, 3.0, 4.5]]
    """
    for axis in (0, 1):
        length = image.shape[axis]
        total = np.concatenate((np.zeros_like(image.take([0], axis)), np.cumsum(image, axis)), axis)
        end, start = np.minimum(np.arange(length) + radius + 1, length), np.maximum(np.arange(length) - radius, 0)
        count = (end - start).reshape((-1, 1) if axis == 0 else (1, -1))
        image = ((total.take(end, axis) - total.take(start, axis)) / count).astype(image.dtype)
    return image
