"""What is done to the cluster, while publishers publish and viewers watch."""

from tests.chaos.scenarios import node_scenarios as of_nodes
from tests.chaos.scenarios import redis_scenarios as of_redis
from tests.chaos.scenarios import viewer_scenarios as of_viewers
from tests.chaos.scenarios.registry import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "of_nodes", "of_redis", "of_viewers"]
