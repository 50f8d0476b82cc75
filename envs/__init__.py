"""Environments of Makespan. Importing this package registers every id with Gymnasium."""

if __name__ == "envs":
    raise ImportError("import makespan.envs: the bare name would load every module twice")
