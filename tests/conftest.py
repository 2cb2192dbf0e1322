"""Shared fixtures."""

from pathlib import Path

import pytest

import stochbind as sb

SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.fixture(scope="session")
def unidirectional():
    return sb.Scenario.from_toml(SCENARIOS / "unidirectional_pair.toml")


@pytest.fixture(scope="session")
def cold_to_hot():
    return sb.Scenario.from_toml(SCENARIOS / "cold_to_hot_pair.toml")
