"""ContexRedis operator: every resource, its pods, its moves, and the operator itself."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from monitoring.contex import OURS, WHO, is_true, ours
from monitoring.panels import BAD_GOOD, GOOD_BAD, board, lines, states, tile

POD: Final = f"{WHO}, redis_pod"
ROLES: Final = {1: ("master", "blue"), 0: ("replica", "green")}
# Process metrics carry no label of ours: those of the processes that say that they are an operator.
OPERATORS: Final = "and on (instance) contexredis_operator_build_info"


def _of_pods(metric: str) -> dict[str, str]:
    return {"{{redis_pod}}": f"max by ({POD}) ({metric}{OURS})"}


def _of_resources(metric: str) -> dict[str, str]:
    return {"{{contexredis}}": f"max by ({WHO}) ({metric}{OURS})"}


def _per_second(metric: str) -> str:
    return f"sum by (instance) (rate({metric}[$__rate_interval]))"


def dashboard() -> Dashboard:
    """The whole dashboard."""
    made = board(
        "contexredis-operator", "ContexRedis operator", "Every ContexRedis, its moves, and its operator."
    )
    return _operator(_moves(_pods(_resources(made))))


def _resources(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Resources"))
        .with_panel(
            states(
                "Ready",
                "The condition Ready.",
                {"{{contexredis}}": is_true("Ready")},
                words=GOOD_BAD,
            )
        )
        .with_panel(
            states(
                "A crash would heal",
                "The condition FailoverReady.",
                {"{{contexredis}}": is_true("FailoverReady")},
                words=GOOD_BAD,
            )
        )
        .with_panel(
            states(
                "Writes refused",
                "No master, too few replicas that keep up, or no disk.",
                _of_resources("contexredis_writes_refused"),
                words=BAD_GOOD,
            )
        )
        .with_panel(
            lines(
                "Masters",
                "Nodes that say that they are master; more than one is a split.",
                _of_resources("contexredis_masters"),
            )
        )
        .with_panel(
            lines(
                "Replicas",
                "In sync with their master, and those that the spec asks for.",
                {
                    "{{contexredis}} in sync": f"max by ({WHO}) (contexredis_replicas_in_sync{OURS})",
                    "{{contexredis}} desired": f"max by ({WHO}) (contexredis_data_pods_desired{OURS}) - 1",
                },
            )
        )
        .with_panel(
            lines(
                "Sentinels that agree",
                "Below the majority no failover is possible.",
                {
                    "{{contexredis}}": f"max by ({WHO}) (contexredis_sentinels_agreeing{OURS})",
                    "{{contexredis}} majority": f"max by ({WHO}) (contexredis_sentinels_majority{OURS})",
                },
            )
        )
    )


def _pods(made: Dashboard) -> Dashboard:
    masters = f"contexredis_redis_role{ours(role='master')}"
    used = f"max by ({POD}) (contexredis_redis_memory_used_bytes{OURS})"
    most = f"max by ({POD}) (contexredis_redis_memory_max_bytes{OURS})"
    limit = f"max by ({POD}) (contexredis_redis_memory_limit_bytes{OURS})"
    return (
        made.with_row(Row("Pods"))
        .with_panel(
            states(
                "Roles",
                "What each Redis says of itself.",
                {"{{redis_pod}}": f"max by ({POD}) ({masters})"},
                words=ROLES,
            )
        )
        .with_panel(
            lines(
                "Replication lag",
                "What a replica has not acknowledged yet; it acknowledges once a second.",
                _of_pods("contexredis_redis_replication_lag_bytes"),
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Since the last acknowledgement",
                "Beyond min-replicas-max-lag a replica does not count for the master's writes.",
                _of_pods("contexredis_redis_replication_lag_seconds"),
                unit="s",
            )
        )
        .with_panel(
            states(
                "Links",
                "A replica's link to its master.",
                _of_pods("contexredis_redis_link_up"),
                words=GOOD_BAD,
            )
        )
        .with_panel(
            lines(
                "Memory used",
                "Of maxmemory; of the container's limit where there is no maxmemory.",
                {"{{redis_pod}}": f"{used} / ({most} or {limit})"},
                unit="percentunit",
                limit=0.85,
            )
        )
        .with_panel(
            lines(
                "Clients",
                "Connections, the operator's and the sentinels' among them.",
                _of_pods("contexredis_redis_connected_clients"),
            )
        )
        .with_panel(
            lines(
                "Refused writes",
                "Replies that refused a write, by their code.",
                {
                    "{{redis_pod}} {{code}}": f"sum by ({POD}, code) "
                    f"(increase(contexredis_redis_refused_writes_total{OURS}[$__rate_interval]))"
                },
            )
        )
        .with_panel(lines("Keys", "In all databases.", _of_pods("contexredis_redis_keys")))
        .with_panel(
            states(
                "Sentinels",
                "Whether a sentinel names the master that a majority names.",
                _of_pods("contexredis_sentinel_agrees"),
                words=GOOD_BAD,
            )
        )
    )


def _moves(made: Dashboard) -> Dashboard:
    def slowest(metric: str, by: str) -> str:
        return f"histogram_quantile(0.95, sum by (le, {by}) (increase({metric}_bucket{OURS}[$__range])))"

    return (
        made.with_row(Row("Moves of the master"))
        .with_panel(
            lines(
                "Failovers",
                "Moves that nobody had planned, by whose doing they were.",
                {
                    "{{contexredis}} {{reason}}": f"sum by ({WHO}, reason) "
                    f"(increase(contexredis_failovers_total{OURS}[$__rate_interval]))"
                },
            )
        )
        .with_panel(
            lines(
                "Switchovers",
                "Planned moves, by what came of them.",
                {
                    "{{contexredis}} {{result}}": f"sum by ({WHO}, result) "
                    f"(increase(contexredis_switchovers_total{OURS}[$__rate_interval]))"
                },
            )
        )
        .with_panel(
            lines(
                "Nobody could write (p95)",
                "In the moves of the time shown, as far as the operator can tell.",
                {
                    "{{contexredis}} {{reason}}": slowest(
                        "contexredis_failover_duration_seconds", f"{WHO}, reason"
                    ),
                    "{{contexredis}} Switchover": slowest("contexredis_switchover_duration_seconds", WHO),
                },
                unit="s",
            )
        )
    )


def _operator(made: Dashboard) -> Dashboard:
    durations = "contexredis_operator_reconcile_duration_seconds"
    rates = f"sum by (le) (rate({durations}_bucket[$__rate_interval]))"
    return (
        made.with_row(Row("Operator"))
        .with_panel(
            states(
                "Lease",
                "The one that holds it acts; the others stand by.",
                {"{{pod}} {{instance}}": "max by (instance, pod) (contexredis_operator_lease_held)"},
                words={1: ("leads", "green"), 0: ("stands by", "blue")},
            )
        )
        .with_panel(
            lines(
                "Duration of reconciles",
                "Of one look at a resource, with all that was done about it.",
                {
                    "p50": f"histogram_quantile(0.5, {rates})",
                    "p95": f"histogram_quantile(0.95, {rates})",
                },
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Failed reconciles",
                "The operator's log says what failed.",
                {
                    "{{contexredis}}": f"sum by ({WHO}) "
                    f"(increase(contexredis_operator_reconcile_errors_total{OURS}[$__rate_interval]))"
                },
            )
        )
        .with_panel(
            lines(
                "Queue",
                "Resources that wait for a reconcile that was asked for.",
                {"{{instance}}": "max by (instance) (contexredis_operator_queue_depth)"},
            )
        )
        .with_panel(
            lines(
                "Waiting and running",
                "The longest wait in the queue, and the longest reconcile under way.",
                {
                    "{{instance}} waits": "max by (instance) (contexredis_operator_queue_oldest_wait_seconds)",
                    "{{instance}} runs": "max by (instance) (contexredis_operator_longest_run_seconds)",
                },
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Since the last reconcile",
                "Of each resource; above a minute something stands still.",
                {
                    "{{contexredis}}": "time() - "
                    f"max by ({WHO}) (contexredis_last_reconcile_timestamp_seconds{OURS})"
                },
                unit="s",
            )
        )
        .with_panel(
            lines(
                "CPU",
                "Of each operator.",
                {"{{instance}}": f"{_per_second('process_cpu_seconds_total')} {OPERATORS}"},
            )
        )
        .with_panel(
            lines(
                "Memory",
                "Of each operator.",
                {"{{instance}}": f"max by (instance) (process_resident_memory_bytes) {OPERATORS}"},
                unit="bytes",
            )
        )
        .with_panel(
            tile(
                "Version",
                "Of the operators.",
                "count by (version) (contexredis_operator_build_info)",
                legend="{{version}}",
            )
        )
    )
