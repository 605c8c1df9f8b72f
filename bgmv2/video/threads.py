"""How many threads FFmpeg may take to decode a clip, and to encode one."""

from __future__ import annotations

import math

# More of them bring hardly any speed: each needs frames of its own in memory, and the more there are, the less encoders
# can look at what the others are doing.
_MOST = 16


def codec_threads() -> int:
    """Half as many again as OpenCV has cores to use, as libx264 chooses by itself; but 16 at the most.

    Who does several clips at once tells OpenCV by `cv2.setNumThreads` how many cores each of them has.
    """
    import cv2  # here, because --help tells of formats, and starts quickly

    return min(_MOST, math.ceil(1.5 * max(1, cv2.getNumThreads())))
