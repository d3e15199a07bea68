"""Puts importer, portal and broker under the eyes of Prometheus and Alertmanager."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.deploy.live.servers import Alertmanager, Pager, Prometheus, WatchedNode, wait_for
from tests.deploy.rules.rulebook import FILES, scaled
from tests.deploy.rules.stories import EXTERNAL
from tests.support.environment import Environment
from tests.support.ports import free_port

FACTOR = 100
"""An alert's five minutes take three seconds."""
SCRAPE = "500ms"
PAGE_SECONDS = 60.0
VHOST = "watched"
DETAILED = {"family": ["queue_coarse_metrics", "queue_consumer_count"]}


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Holds the parts that outlive one importer."""

    node: WatchedNode
    prometheus: Prometheus
    pager: Pager
    port: int
    started: float

    @asynccontextmanager
    async def environment(
        self, settings: Mapping[str, str], portal: Mapping[str, Any]
    ) -> AsyncIterator[Environment]:
        """Lend a portal and room for importers on the port that is scraped."""
        own = {"IMPORTER_HTTP__PORT": str(self.port), **settings}
        async with Environment(self.node, VHOST, settings=own, portal=portal) as environment:
            yield environment

    def wait_seen(self) -> None:
        """Wait until Prometheus has scraped an importer and no rule misses it any more."""
        up = 'up{job="importer"} == 1'
        wait_for(
            lambda: self.prometheus.query(up) and "ImporterDown" not in self.prometheus.alerts(),
            PAGE_SECONDS,
            lambda: f"no scrape; there are {self.prometheus.alerts()}",
        )

    def wait_paged(self, name: str, status: str, since: float) -> None:
        """Wait until an alert was delivered that was not there before."""
        wait_for(
            lambda: self.pager.got(name, status, since),
            PAGE_SECONDS,
            lambda: f"{name} {status} was not delivered; there are {self.prometheus.alerts()}",
        )


@contextmanager
def open_monitoring(factor: float = FACTOR) -> Iterator[Monitoring]:
    """Start everything that watches, and the broker."""
    port = free_port()
    with ExitStack() as stack:
        node = WatchedNode().start()
        stack.callback(node.stop)
        node.create_vhost(VHOST)
        pager = stack.enter_context(Pager())
        manager = stack.enter_context(Alertmanager(pager.url))
        config = prometheus_config(
            {"importer": [port]}, node.exporter, SCRAPE, manager=manager.address
        )
        server = Prometheus(config)
        for path in FILES:
            server.write(path.name, scaled(path, factor))
        yield Monitoring(node, stack.enter_context(server), pager, port, time.time())


def prometheus_config(
    jobs: Mapping[str, Sequence[int]], exporter: int, interval: str, *, manager: str = ""
) -> dict[str, Any]:
    """Scrape the ports of some jobs, and a node with all its queues."""
    broker = [{"targets": [f"127.0.0.1:{exporter}"]}]
    importers = [
        {
            "job_name": name,
            "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
        }
        for name, ports in jobs.items()
    ]
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
            "external_labels": EXTERNAL,
        },
        "rule_files": [path.name for path in FILES],
        "alerting": {
            "alert_relabel_configs": [
                {"regex": "|".join(EXTERNAL), "action": "labeldrop"},
            ],
            "alertmanagers": [{"static_configs": [{"targets": [manager] if manager else []}]}],
        },
        "scrape_configs": [
            *importers,
            {"job_name": "rabbitmq", "static_configs": broker},
            {
                "job_name": "rabbitmq-queues",
                "metrics_path": "/metrics/detailed",
                "params": DETAILED,
                "static_configs": broker,
            },
        ],
    }
