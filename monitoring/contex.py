"""Contex Reliability · Redis: the Redis as Contex feels it. The panels of Contex' own document, and what explains them.

The metrics of Contex carry the labels that the scrape adds (instance, pod, namespace); not every scrape adds all.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from monitoring.panels import BAD_GOOD, GOOD_BAD, board, lines, tile

POOL_LIMIT: Final = 45  # of 50, REDIS_MAX_CONNECTIONS' default
CONTEX: Final = '{namespace=~"$namespace"}'
_CHOSEN: Final = 'contexredis_namespace=~"$namespace", contexredis=~"$contexredis"'
OURS: Final = f"{{{_CHOSEN}}}"
WHO: Final = "contexredis_namespace, contexredis"
DURATION: Final = "contex_redis_operation_duration_seconds"


def ours(**more: str) -> str:
    """The selector of the chosen resources, with more labels."""
    labels = [_CHOSEN, *(f'{name}="{value}"' for name, value in more.items())]
    return f"{{{', '.join(labels)}}}"


def is_true(condition: str) -> str:
    """1 for the chosen resources whose condition is True, 0 for the others."""
    return f"max by ({WHO}) (contexredis_status_condition{ours(condition=condition, status='true')})"


def _quantile(q: float) -> str:
    return f"histogram_quantile({q}, sum by (le) (rate({DURATION}_bucket{CONTEX}[$__rate_interval])))"


def dashboard() -> Dashboard:
    """The whole dashboard."""
    return (
        board("contex-redis", "Contex Reliability · Redis", "The Redis behind Contex, as Contex feels it.")
        .with_row(Row("Contex"))
        .with_panel(
            lines(
                "Connections in use",
                "Per pool of each pod of Contex. Above 45 of 50 it is about to be exhausted.",
                {
                    "{{pod}} {{instance}} {{pool}}": "max by (instance, pod, pool) "
                    f"(contex_redis_connections{CONTEX})"
                },
                limit=POOL_LIMIT,
            )
        )
        .with_panel(
            lines(
                "Duration of operations",
                "Repeats after a failover are part of an operation.",
                {"p50": _quantile(0.5), "p95": _quantile(0.95), "p99": _quantile(0.99)},
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Connection errors",
                "Attempts that found no connection, no answer or no master.",
                {
                    "{{pod}} {{instance}}": "sum by (instance, pod) "
                    f"(increase(contex_redis_connection_errors_total{CONTEX}[$__rate_interval]))"
                },
            )
        )
        .with_panel(
            lines(
                "Operations",
                "Per second, of all pods of Contex.",
                {"operations": f"sum(rate({DURATION}_count{CONTEX}[$__rate_interval]))"},
                unit="ops",
            )
        )
        .with_panel(
            lines(
                "Memory of Redis",
                "What each Redis has allocated, and the least maxmemory.",
                {
                    "{{redis_pod}}": f"max by ({WHO}, redis_pod) (contexredis_redis_memory_used_bytes{OURS})",
                    "maxmemory": f"min by ({WHO}) (contexredis_redis_memory_max_bytes{OURS})",
                },
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Refused writes",
                "Replies that refused a write, by their code. READONLY: a client that is late after a move.",
                {
                    "{{code}}": "sum by (code) "
                    f"(increase(contexredis_redis_refused_writes_total{OURS}[$__rate_interval]))"
                },
            )
        )
        .with_row(Row("Redis"))
        .with_panel(
            tile(
                "Master",
                "A majority of the sentinels names a master that says so itself.",
                f"max by ({WHO}) (contexredis_master_agreed{OURS})",
                words=GOOD_BAD,
            )
        )
        .with_panel(
            tile(
                "Writes refused",
                "Nobody would take a write now.",
                f"max by ({WHO}) (contexredis_writes_refused{OURS})",
                words=BAD_GOOD,
            )
        )
        .with_panel(
            tile(
                "A crash would heal",
                "The condition FailoverReady.",
                is_true("FailoverReady"),
                words=GOOD_BAD,
            )
        )
        .with_panel(
            tile(
                "Replicas in sync",
                "Connected and in sync with the master.",
                f"max by ({WHO}) (contexredis_replicas_in_sync{OURS})",
            )
        )
        .with_panel(
            tile(
                "Sentinels that agree",
                "They name the master that a majority names.",
                f"max by ({WHO}) (contexredis_sentinels_agreeing{OURS})",
            )
        )
        .with_panel(
            tile(
                "Since the last move",
                "Of the master, planned or not.",
                f"time() - max by ({WHO}, reason) (contexredis_last_move_timestamp_seconds{OURS})",
                unit="s",
                legend="{{reason}}",
            )
        )
    )
