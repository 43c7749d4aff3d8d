"""What is done to the cluster, while publishers publish and viewers watch."""

from tests.chaos.scenarios import deployment_scenarios, node_scenarios, redis_scenarios, viewer_scenarios
from tests.chaos.scenarios.registry import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "deployment_scenarios",
    "node_scenarios",
    "redis_scenarios",
    "viewer_scenarios",
]
