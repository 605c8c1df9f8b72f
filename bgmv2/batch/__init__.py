"""Many clips: `plan` finds them with their plates and names their results, `run` mattes what is not finished yet.

Example:
    >>> from bgmv2.batch import plan, run
    >>> if __name__ == "__main__":  # workers are processes that import this file again
    ...     print(run(plan(["shots/"], out="results/"), workers=2))
"""

from bgmv2.batch.driver import Event, Summary, run
from bgmv2.batch.job import Job, Settings, run_job
from bgmv2.batch.planning import Plan, Task, plan

__all__ = ["Event", "Job", "Plan", "Settings", "Summary", "Task", "plan", "run", "run_job"]
