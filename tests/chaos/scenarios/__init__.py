"""Faults of the cluster, while publishers publish and viewers watch."""

from tests.chaos.scenarios import (
    backend_scenarios,
    deployment_scenarios,
    moderation_scenarios,
    node_scenarios,
    redis_scenarios,
    revocation_scenarios,
    viewer_scenarios,
)
from tests.chaos.scenarios.registry import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "backend_scenarios",
    "deployment_scenarios",
    "moderation_scenarios",
    "node_scenarios",
    "redis_scenarios",
    "revocation_scenarios",
    "viewer_scenarios",
]
