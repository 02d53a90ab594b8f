"""The controller runtime: scheduler, runner, controllers, leader election, all on an injected clock.

==================  ==========================================================
``clock``           virtual time
``scheduler``       keys, delayed and deduplicated
``runner``          workers that take keys
``controller``      reconciles with retries, fed by informers
``leader``          election by Lease
``events``          Events for people
``metrics``         counters, gauges, histograms
``instruments``     the metrics that every program has
``health``          ``/metrics``, ``/healthz``, ``/readyz``
``access``          who may read metrics
``logging``         structured logs
``tasks``           the services of a program, started and stopped together
``memory``          the garbage collector, tuned
==================  ==========================================================
"""

from __future__ import annotations

from cozystack.runtime.access import Access, Refusal
from cozystack.runtime.clock import Clock, Stuck, SystemClock, VirtualClock, within
from cozystack.runtime.controller import Backoff, Controller, Done, Permanent, RequeueAfter, Result
from cozystack.runtime.events import EventRecorder
from cozystack.runtime.health import HealthServer
from cozystack.runtime.instruments import count_reconciles, count_requests, show_controller, show_informer
from cozystack.runtime.leader import LeaderElector, LeadershipLost
from cozystack.runtime.logging import Log, configure
from cozystack.runtime.memory import tune_gc
from cozystack.runtime.metrics import Counter, Gauge, Histogram, Registry
from cozystack.runtime.scheduler import Scheduler
from cozystack.runtime.tasks import Service, supervise

__all__ = [
    "Access",
    "Backoff",
    "Clock",
    "Controller",
    "Counter",
    "Done",
    "EventRecorder",
    "Gauge",
    "HealthServer",
    "Histogram",
    "LeaderElector",
    "LeadershipLost",
    "Log",
    "Permanent",
    "Refusal",
    "Registry",
    "RequeueAfter",
    "Result",
    "Scheduler",
    "Service",
    "Stuck",
    "SystemClock",
    "VirtualClock",
    "configure",
    "count_reconciles",
    "count_requests",
    "show_controller",
    "show_informer",
    "supervise",
    "tune_gc",
    "within",
]
