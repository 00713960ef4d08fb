"""What the coordinator counts: one counter or gauge for each event of consequence.

An instance has its own registry, so that two coordinators in one process do not mix.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Prometheus metrics under `hivemark_`; label values come from closed sets, never from input."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        ProcessCollector(registry=registry)
        self.submissions_accepted = Counter(
            "hivemark_submissions_accepted", "Jobs accepted", ["replayed"], registry=registry
        )
        self.submissions_refused = Counter(
            "hivemark_submissions_refused", "Job posts refused", ["code"], registry=registry
        )
        self.jobs = Gauge("hivemark_jobs", "Jobs by state", ["state"], registry=registry)
        self.executions = Gauge(
            "hivemark_executions", "Executions by state; queued is the queue", ["state"], registry=registry
        )
        self.log_queue = Gauge("hivemark_log_queue", "Log rows without an index", registry=registry)
        self.attempts_finished = Counter(
            "hivemark_attempts_finished", "Attempts ended", ["outcome"], registry=registry
        )
        self.leases_granted = Counter("hivemark_leases_granted", "Leases granted", registry=registry)
        self.leases_declined = Counter(
            "hivemark_leases_declined", "Leases a hive gave back", registry=registry
        )
        self.calls_open = Gauge(
            "hivemark_calls_open", "Calls of the OpenAI endpoints whose client waits", registry=registry
        )
        self.calls_ended = Counter(
            "hivemark_calls_ended", "Calls ended", ["endpoint", "outcome"], registry=registry
        )
        self.receipts_refused = Counter(
            "hivemark_receipts_refused", "Receipts that did not verify", ["code"], registry=registry
        )
        self.links_refused = Counter(
            "hivemark_links_refused", "Links refused or broken", ["code"], registry=registry
        )
        self.hives_linked = Gauge("hivemark_hives_linked", "Hives whose link stands", registry=registry)
        self.log_size = Gauge("hivemark_log_size", "Entries under the newest checkpoint", registry=registry)
        self.log_backlog = Gauge("hivemark_log_backlog", "Indices assigned, not published", registry=registry)
        self.loop_failures = Counter(
            "hivemark_loop_failures", "Steps of a loop that failed", ["loop"], registry=registry
        )
        self.loop_work = Counter("hivemark_loop_work", "Units of work done", ["loop"], registry=registry)
        self.requests = Histogram(
            "hivemark_http_request_seconds",
            "Time to the last byte of the answer",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
