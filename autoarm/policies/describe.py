"""Who a policy is, for a result."""

from __future__ import annotations

from autoarm.policies.protocol import Policy
from autoarm.policies.track import track_of
from autoarm.results.result import PolicyRecord


def describe_policy(policy: Policy) -> PolicyRecord:
    """Who a policy is, for a result: what its own `describe()` says, if it has one, and otherwise its class."""
    record = _own_record(policy)
    return record.model_copy(update={"track": track_of(record)})


def _own_record(policy: Policy) -> PolicyRecord:
    describe = getattr(policy, "describe", None)
    if callable(describe):
        record = describe()
        assert isinstance(record, PolicyRecord)
        return record
    kind = "baseline" if type(policy).__module__.startswith("autoarm.policies.") else "custom"
    return PolicyRecord(
        name=policy.name,
        kind=kind,
        role=getattr(policy, "role", "policy"),
        config={"class": f"{type(policy).__module__}:{type(policy).__qualname__}"},
    )
