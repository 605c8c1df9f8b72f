"""What the tests of this room share."""

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def stored():
    """Reads what a picture's file holds, untouched by bgmv2."""

    def read(path):
        if path.suffix.lower().startswith(".tif"):
            with Image.open(path) as image:
                if image.mode == "RGBA" and image.tag_v2[258] == (8, 8, 8, 8):
                    # OpenCV multiplies colours by an alpha of 8 bits that says it is straight.
                    return np.array(image)
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels.ndim == 2:
            return pixels
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)

    return read
