"""A private replicated Redis server for a test, with sentinels."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from tests.support.servers.redis_server import Server
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from tests.support.servers.redis_server import Option

NAME = "mymaster"
#: Milliseconds without an answer after which a master is down.
_DOWN_AFTER = 2000
#: Timeout of a failover, in milliseconds; the next attempt follows after twice as long.
_FAILOVER_TIMEOUT = 3000


class Sentinel(Server):
    """A process that monitors a master, and promotes a replica when the master is down."""

    arguments: ClassVar[Sequence[str]] = ("--sentinel",)

    def __init__(self, master: Server, quorum: int) -> None:
        watched = {
            "monitor": f"127.0.0.1 {master.port} {quorum}",
            "down-after-milliseconds": _DOWN_AFTER,
            "failover-timeout": _FAILOVER_TIMEOUT,
        }
        super().__init__(sentinel=[f"{name} {NAME} {value}" for name, value in watched.items()])

    def view(self) -> dict[str, Any]:
        """Return the sentinel's view of the master."""
        return self.ask("SENTINEL MASTER", NAME)

    def master_port(self) -> int:
        return int(self.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", NAME)[1])


class Sentinels:
    """A master, its replicas, and sentinels with a majority quorum. Ready when constructed."""

    def __init__(self, replicas: int = 1, sentinels: int = 3, **options: Option) -> None:
        self.servers: list[Server] = []
        self.sentinels: list[Sentinel] = []
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.callback(self._stop_all)
            self._replicate(replicas, {"repl_diskless_sync_delay": 0, **options})
            self.sentinels += [Sentinel(self.servers[0], quorum=sentinels // 2 + 1) for _ in range(sentinels)]
            self.wait_until_ready()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def master(self) -> Server:
        """The master that the sentinels report."""
        (master,) = self._masters()
        return master

    def uri(self, db: int = 0) -> str:
        return f"redis+sentinel://{','.join(sentinel.address for sentinel in self.sentinels)}/{NAME}/{db}"

    def wait_until_ready(self) -> None:
        """Wait until each sentinel knows the replicas and the other sentinels."""
        first_answer(lambda: all(map(self._knows_all, self.sentinels)), why=self._describe)

    def wait_for_another(self, than: Server) -> Server:
        """Wait for a master other than ``than`` on which all sentinels agree, and return it."""
        return first_answer(lambda: self._another(than), why=self._describe)

    def fail_over(self) -> Server:
        """Kill the master, and return the next one."""
        killed = self.master
        killed.kill()
        return self.wait_for_another(killed)

    def planned_failover(self) -> Server:
        """Promote a replica, and return it; the former master stays one for about ten seconds."""
        former = self.master
        # A sentinel refuses for some time after another failover.
        first_answer(lambda: self._any_sentinel().ask("SENTINEL FAILOVER", NAME), why=self._describe)
        return self.wait_for_another(former)

    def manual_failover(self, disconnect: bool = True) -> Server:
        """Exchange the roles of the master and a replica, and return the new master.

        With ``disconnect``, the former master closes its clients' connections, as when a sentinel demotes it; without,
        it keeps them, as when an operator demotes it.
        """
        former = self.master
        master = self.planned_failover()
        # The sentinels do this as well, but only after ten seconds.
        former.ask("REPLICAOF", "127.0.0.1", master.port)
        if disconnect:
            former.ask("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
            former.ask("CLIENT KILL", "TYPE", "pubsub")
        return master

    def stop(self) -> None:
        self._stack.close()

    def _replicate(self, replicas: int, options: dict[str, Option]) -> None:
        first = Server(**options)
        self.servers.append(first)
        self.servers += [Server(replicaof=f"127.0.0.1 {first.port}", **options) for _ in range(replicas)]
        # A sentinel finds earlier replicas at once, later ones only within ten seconds.
        first_answer(lambda: len(first.ask("ROLE")[2]) == replicas)

    def _knows_all(self, sentinel: Sentinel) -> bool:
        view = sentinel.view()
        return (view["num-slaves"], view["num-other-sentinels"]) == (len(self.servers) - 1, len(self.sentinels) - 1)

    def _another(self, than: Server) -> Server | None:
        # Each sentinel is asked once: its answer may change between two questions.
        master, *others = self._masters()
        return None if others or master is than or master.ask("ROLE")[0] != b"master" else master

    def _masters(self) -> list[Server]:
        """Return the masters that the sentinels report: several while they disagree."""
        ports = {sentinel.master_port() for sentinel in self.sentinels if sentinel.runs}
        return [server for server in self.servers if server.port in ports]

    def _any_sentinel(self) -> Sentinel:
        return next(sentinel for sentinel in self.sentinels if sentinel.runs)

    def _stop_all(self) -> None:
        for server in [*self.sentinels, *self.servers]:
            server.stop()

    def _describe(self) -> str:
        return "\n".join(str(sentinel.view()) for sentinel in self.sentinels if sentinel.runs)
