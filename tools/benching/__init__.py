"""What `tools/bench.py` measures, a module for each verb: `add_arguments(parser)` and `run(args)`."""
