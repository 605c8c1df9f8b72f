"""Time and memory, on this machine: ratios within one run, because machines differ and are shared.

python tools/bench.py memory     the whole command, on a clip that gets longer
python tools/bench.py network    our network beside the published one, and how far it is from the machine's limit
python tools/bench.py pipeline   each stage of a conversion alone, and all of them together
python tools/bench.py cost       what a frame costs by its size, by the subject's, and by the clip's length
python tools/bench.py start      the time to the help, and to the first frame
"""

from __future__ import annotations

import argparse
import os

# As the command does.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from benching import cost, memory, network, pipeline, start  # noqa: E402  torch reads the above when it is loaded

VERBS = {"memory": memory, "network": network, "pipeline": pipeline, "cost": cost, "start": start}


def main() -> None:
    """Read the flags and run the verb."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, module in VERBS.items():
        verb = verbs.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__.splitlines()[0])
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
