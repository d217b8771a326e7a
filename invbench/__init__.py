"""Judge generative models for inverse problems: validity, uncertainty, speed, regressions.

Each folder is a room that answers one question, and opens with a sentence that says so:

- what is asked: `operators` (what a sampler gets to see), `problems` (tasks at a profile's sizes),
  `data` (on which images);
- who answers: `networks`, `models` (how the methods sample, and what any other sampler must look
  like), `training` (how they learn);
- what is measured: `metrics` (scores), `uncertainty` (intervals, calibration), `evaluation` (one
  case, from observation to record), `sentinels` (do our checks find broken samplers? run by
  ``benchmarks/``, not part of a case), `machine` (where, and how fast);
- what becomes of it: `runs` (records on disk), `gate` (is it worse than it was?), `report` (what
  people read);
- how it is started: `suite` (options and the session of a run), `plugin` (pytest), `verbs` (the
  command line). The other files at the root are tools that rooms share.

A room imports only from the floors below it; ``tests/test_layers.py`` lists the floors.
"""

__version__ = "0.1.0"
