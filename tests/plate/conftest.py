import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 480, 270


class Studio:
    """Makes rooms, subjects and shots; the same ones every time."""

    def __init__(self):
        self.rng = np.random.default_rng(7)

    def room(self, seed=0, width=WIDTH, height=HEIGHT):
        rng = np.random.default_rng(seed)
        picture = np.zeros((height, width, 3), np.float32)
        for cells, strength in ((4, 1.0), (12, 0.6), (40, 0.3)):
            noise = rng.random((cells, cells, 3), np.float32)
            picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        picture = 40 + 150 * (picture - picture.min()) / np.ptp(picture)
        for _ in range(60):
            x, y = rng.integers(0, (width, height))
            w, h = rng.integers(6, 50, 2)
            colour = rng.integers(40, 200, 3).tolist()
            cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1, cv2.LINE_AA)
        return cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.uint8)

    def camera(self, *, degrees=0.0, shift=(0.0, 0.0), perspective=(0.0, 0.0), width=WIDTH, height=HEIGHT):
        a = np.deg2rad(degrees)
        centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
        turn = np.array([[np.cos(a), -np.sin(a), shift[0]], [np.sin(a), np.cos(a), shift[1]], [0, 0, 1]])
        tilt = np.array([[1, 0, 0], [0, 1, 0], [*perspective, 1]])
        homography = np.linalg.inv(centre) @ tilt @ turn @ centre
        return homography / homography[2, 2]

    def shot(self, plate, homography=None, *, subject=0.0, at=0.5, gain=1.0, bias=0.0, noise=2.0):
        """Film a plate with a camera; a textured subject covers that share of the picture, centred at `at`."""
        height, width = plate.shape[:2]
        homography = np.eye(3) if homography is None else homography
        frame = cv2.warpPerspective(
            plate, homography, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        frame = frame * np.broadcast_to(np.float32(gain), 3) + 255 * bias
        x0 = round((at - subject / 2) * width)
        x1 = x0 + round(subject * width)
        frame[:, max(0, x0) : max(0, x1)] = self.room(99, width, height)[:, max(0, x0) : max(0, x1)]
        frame += self.rng.normal(0, noise, frame.shape)
        return np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def corner_error(a, b, width=WIDTH, height=HEIGHT):
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)[:, None]
    return np.linalg.norm(cv2.perspectiveTransform(corners, a) - cv2.perspectiveTransform(corners, b), axis=2).max()


@pytest.fixture
def studio():
    return Studio()


@pytest.fixture
def corners_apart():
    return corner_error
