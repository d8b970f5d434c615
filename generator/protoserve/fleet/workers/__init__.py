"""Processes that have imported what takes time to import, and work in copies of themselves."""

from protoserve.fleet.workers.client import Finished, TooLongError, Worker, WorkerError, run_alone

__all__ = ["Finished", "TooLongError", "Worker", "WorkerError", "run_alone"]
