"""The plate doctor: whether a plate and a clip belong together, what will come of them, and what to do about it.

Example:
    >>> found = diagnose("clip.mp4", load_plate("plate.png", 1280, 720)).diagnosis
    >>> print(found)
"""

from bgmv2.doctor.diagnose import SAMPLES, Examination, diagnose, examine, glance
from bgmv2.doctor.findings import Diagnosis, Finding

__all__ = ["SAMPLES", "Diagnosis", "Examination", "Finding", "diagnose", "examine", "glance"]
