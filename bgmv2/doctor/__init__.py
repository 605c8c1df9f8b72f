"""The plate doctor: whether a plate and a clip belong together, what will come of them, and what to do about it.

Example:
    >>> found = diagnose("clip.mp4", load_plate("plate.png", 1280, 720)).diagnosis
    >>> print(found)
"""

from bgmv2.doctor.diagnose import Examination, diagnose, examine, glance
from bgmv2.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Examination", "Finding", "diagnose", "examine", "glance"]
