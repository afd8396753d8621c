"""Modules that cannot be imported twice: pytester forgets what inner tests import."""

import numpy  # noqa: F401
import rich.console
import rich.table  # noqa: F401
import scipy.special  # noqa: F401
import yaml  # noqa: F401

import pytest_lem.session  # noqa: F401
