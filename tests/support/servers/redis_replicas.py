"""A private Redis Cluster whose masters have replicas."""

from __future__ import annotations

from tests.support.servers.redis_cluster import Cluster, Node
from tests.support.servers.waiting import first_answer


class ReplicatedCluster(Cluster):
    """Three masters with a replica each. Ready when constructed."""

    def __init__(self) -> None:
        super().__init__()
        self.replicas: list[Node] = []
        try:
            for master in self.nodes:
                self._add_replica(master)
        except BaseException:
            self.stop()
            raise

    def fail_over(self, replica: Node) -> None:
        """Make the replica the master, as before the maintenance of its master's machine."""
        replica.ask("CLUSTER FAILOVER")
        first_answer(lambda: replica.ask("ROLE")[0] == b"master", why=lambda: str(replica.ask("ROLE")))

    def _add_replica(self, master: Node) -> None:
        replica = self._stack.enter_context(Node())
        self.replicas.append(replica)
        self.nodes[0].ask("CLUSTER MEET", "127.0.0.1", replica.port, replica.bus_port)
        first_answer(lambda: replica.ask("CLUSTER REPLICATE", master.id), why=self._describe)
        first_answer(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up", why=self._describe)
        nodes = [*self.nodes, *self.replicas]
        first_answer(lambda: all(self._knows(node, len(nodes)) for node in nodes), why=self._describe)

    @staticmethod
    def _knows(node: Node, count: int) -> bool:
        state = node.ask("CLUSTER INFO")
        return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == count
