"""Environments of Makespan. Importing this package registers every id with Gymnasium."""

if __name__ == "envs":
    raise ImportError("import makespan.envs: the bare name would load every module twice")

from makespan.envs.registration import register_all

register_all()

__all__ = ["register_all"]
