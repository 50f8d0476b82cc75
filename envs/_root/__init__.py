"""Makespan: reinforcement learning for resource scheduling.

Importing this package registers every environment with Gymnasium and loads neither torch, OR-Tools nor matplotlib.
"""

from importlib.metadata import PackageNotFoundError, version

from makespan import envs as envs

try:
    __version__ = version("makespan")
except PackageNotFoundError:  # a source tree on the path without an installation
    __version__ = "0+unknown"

__all__ = ["__version__", "envs"]
