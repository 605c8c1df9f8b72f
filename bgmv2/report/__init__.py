"""What a run says of itself: numbers for every frame, the worst frames as pictures, and what deserves a second pass.

An `Inspector` measures each frame where it is matted; a `Recorder` keeps what it says in a folder, so that a run that
was killed goes on, and publishes the report at the end. Memory does not grow with the clip.
"""

from bgmv2.report.inspector import Inspector, Observation
from bgmv2.report.publish import check_report, check_report_name
from bgmv2.report.recorder import Recorder
from bgmv2.report.repair import better
from bgmv2.report.rows import Row

__all__ = ["Inspector", "Observation", "Recorder", "Row", "better", "check_report", "check_report_name"]
