"""What is kept of a run? Records, their schema, and the folder they lie in. No torch here.

`RunStore` is the folder of a run, `CaseRecord` and its kin are what lies in it as JSON, `validate`
finds what is wrong with a folder and `merge` puts the parts of a sharded run together.
"""

from __future__ import annotations

from invbench.runs.measurements import (
    NOTICEABLE,
    IntervalRecord,
    MetricRecord,
    NoiseFitRecord,
    SkillRecord,
    ThroughputRecord,
    WorldRecord,
)
from invbench.runs.merging import conflicts, merge
from invbench.runs.pictures import MAPS, Picture
from invbench.runs.plain_json import finite
from invbench.runs.records import (
    MEASURED,
    Breach,
    CalibrationVerdict,
    CaseRecord,
    Check,
    ExecutionRecord,
    RunRecord,
    Status,
    from_json,
    to_json,
)
from invbench.runs.store import RunStore
from invbench.runs.timing import TimingCase, TimingRecord
from invbench.runs.typed_json import build
from invbench.runs.validation import validate

__all__ = [
    "MAPS",
    "MEASURED",
    "NOTICEABLE",
    "Breach",
    "CalibrationVerdict",
    "CaseRecord",
    "Check",
    "ExecutionRecord",
    "IntervalRecord",
    "MetricRecord",
    "NoiseFitRecord",
    "Picture",
    "RunRecord",
    "RunStore",
    "SkillRecord",
    "Status",
    "ThroughputRecord",
    "TimingCase",
    "TimingRecord",
    "WorldRecord",
    "build",
    "conflicts",
    "finite",
    "from_json",
    "merge",
    "to_json",
    "validate",
]
