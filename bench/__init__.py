"""The benchmarks of the design's speed goals: the shop beside its peers, in turns, in one run."""
