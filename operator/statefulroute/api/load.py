"""The load of pods: where it is read, and what it means for the service."""

from pydantic import Field, JsonValue

from statefulroute.api.limits import DAY_SECONDS, INT32_MAX, PORT_MAX
from statefulroute.api.model import Model, validation_rules
from statefulroute.api.vocabulary import LoadSource

#: The message names all three thresholds, because a user may have set only some of them.
THRESHOLDS_RULE: dict[str, JsonValue] = {
    "rule": "self.normal < self.high && self.high < self.overloaded",
    "message": "workloadThresholds must rise: normal < high < overloaded",
    "messageExpression": (
        "'workloadThresholds must rise: normal < high < overloaded, not %d, %d, %d'"
        ".format([self.normal, self.high, self.overloaded])"
    ),
}


class HTTPLoad(Model):
    """The endpoint of each pod that returns its load as `{"loadState": n, "waitingTasks": n, "routingState": s}`."""

    path: str = Field(
        default="/load",
        description="The path of the URL. It is used literally: a '?' does not start a query.",
        max_length=1024,
        json_schema_extra=validation_rules(("self.startsWith('/')", "path must start with '/'")),
    )
    port: int = Field(description="The port of the pod.", ge=1, le=PORT_MAX)
    timeout_seconds: int = Field(default=1, description="The timeout of one request.", ge=1, le=60)


class LoadSettings(Model):
    """The source of the pods' load and its weights."""

    source: LoadSource = Field(
        default=LoadSource.REPORTED,
        description="Reported: the driver in each pod writes annotations. HTTP: the operator polls each pod.",
    )
    http: HTTPLoad | None = Field(
        default=None, description="The endpoint that the operator polls if the source is HTTP."
    )
    cpu_factor_percent: int = Field(
        default=70,
        description="The weight f of waitingTasks, in percent. loadState has the remaining weight: "
        "weighted = f * waitingTasks + (1 - f) * loadState.",
        ge=0,
        le=100,
    )
    stale_after_seconds: int = Field(
        default=90,
        description="Load older than this is stale. A pod with stale load takes no new users while enough pods have "
        "fresh load (minFreshPercent).",
        ge=1,
        le=DAY_SECONDS,
    )
    min_fresh_percent: int = Field(
        default=50,
        description="A pod with stale load takes no new users, because it may be hanging, while at least this "
        "percentage of the available pods that have ever reported have fresh load. If fewer have, the reports fail and "
        "not the pods: pods with stale load are then compared by their links. 0 is any fresh load, 100 is never.",
        ge=0,
        le=100,
    )


class WorkloadThresholds(Model):
    """The mean weighted loads from which a service is Normal, High and Overloaded."""

    normal: int = Field(
        default=1, description="From this load on, the service is Normal; below it, Idle.", ge=0, le=INT32_MAX
    )
    high: int = Field(default=3, description="From this load on, the service is High.", ge=0, le=INT32_MAX)
    overloaded: int = Field(default=5, description="From this load on, the service is Overloaded.", ge=0, le=INT32_MAX)
