"""Stand-ins of the workload controllers: Deployments, StatefulSets, DaemonSets and Jobs get their Pods.

Each controller is a pure function: the object and what it owns in, a list of actions out (``actions``). They do what the
sandbox needs (rolling update by replica sets, ordered stateful Pods, retries of Jobs, the status that kstatus reads), not more.
"""
