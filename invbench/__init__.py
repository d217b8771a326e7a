"""Judge generative models for inverse problems: validity, uncertainty, speed, regressions.

Each folder is a room that answers one question, and opens with a sentence that says so:

- what is asked: `operators` (what a sampler gets to see), `problems` (tasks at a profile's sizes),
  `data` (on which images);
- who answers: `networks`, `models` (one method a file, and how any other sampler enters),
  `training` (how it is learnt);
- what is measured: `metrics` (scores), `uncertainty` (intervals, calibration), `evaluation` (one
  case, from observation to record), `sentinels` (would a broken sampler be found?), `machine`
  (where, and how fast);
- what becomes of it: `runs` (records on disk), `gate` (is it worse than it was?), `report` (what
  people read);
- how it is started: `suite` (options and the session of a run), `verbs` (the command line).

A room imports only from the floors below it; ``tests/test_layers.py`` lists the floors.
"""

__version__ = "0.1.0"
