"""Stages: functions over populations with a record of what each reads, fills and takes.

A stage is one function and one declaration. Given a dataset in memory it answers in memory; given
one backed by dask it answers lazily, block by block along ``network``; over a store it is run shard
by shard (`solspace.run`). Flags, schema page, checks, status and resumption follow from the record.
"""

from solspace.stages.decorator import stage
from solspace.stages.record import Group, Layout, Option, Stage, record_of

__all__ = ["Group", "Layout", "Option", "Stage", "record_of", "stage"]
