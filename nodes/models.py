"""Machines, what processes see of them, how they join, their locks, and the processes themselves: tables.

What people edit (Node) is never written by processes; what processes write (NodeStatus, ProcessInstance) is
never edited by people.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from dpl_site.lib.secrets import SecretField
from nodes.states import LockMirror, NodeState


class Node(models.Model):
    """One machine of the fleet, as people configure it."""

    name = models.CharField(max_length=100)
    monitor_base_url = models.CharField(
        "agent's address", max_length=500, blank=True, help_text="As http://host:8001; empty: no agent."
    )
    agent_token = SecretField(blank=True, default="")
    agent_token_hash = models.CharField(
        max_length=64, blank=True, default="", db_default="", db_index=True, editable=False
    )
    machine_id = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    environment = models.CharField(max_length=50, default="default", blank=True)
    labels = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(archived_at__isnull=True),
                name="one_live_node_per_name",
                violation_error_message="Another node has this name already.",
            ),
            models.UniqueConstraint(
                fields=["monitor_base_url"],
                condition=models.Q(archived_at__isnull=True) & ~models.Q(monitor_base_url=""),
                name="one_live_node_per_agent",
                violation_error_message="Another node has this agent already.",
            ),
            models.UniqueConstraint(
                fields=["machine_id"],
                condition=models.Q(archived_at__isnull=True) & ~models.Q(machine_id=""),
                name="one_live_node_per_machine",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def pushes(self) -> bool:
        """Whether its agent tells by itself: it has a token to show us, and no address to be asked at."""
        return bool(self.agent_token_hash) and not self.monitor_base_url


class NodeStatus(models.Model):
    """The latest reading and state of one node; written by the leading controller."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, primary_key=True, related_name="status")
    state = models.CharField(max_length=10, choices=NodeState.pairs(), default=NodeState.UNKNOWN)
    reason = models.CharField(max_length=300, blank=True)
    since = models.DateTimeField(default=timezone.now)
    sampled_at = models.DateTimeField(null=True)
    reading = models.TextField(blank=True, help_text="The agent's last answer, JSON.")
    agent_error = models.CharField(max_length=300, blank=True)
    clock_skew_s = models.FloatField(null=True)
    foreign_lock = models.TextField(blank=True, help_text="A lock on the agent that is not ours, JSON.")
    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.node_id}: {self.state}"


class NodeLock(models.Model):
    """A person's or a job's claim on a whole node; one at a time."""

    class By(models.TextChoices):
        """Who claims."""

        PERSON = "person"
        JOB = "job"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="lock")
    by = models.CharField(max_length=6, choices=By.choices)
    owner = models.CharField(max_length=150, help_text="The person's name, or the job's.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    job_id = models.CharField(max_length=36, blank=True, db_index=True)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_ms = models.BigIntegerField(help_text="Epoch milliseconds by the database's clock.")
    mirror = models.CharField(max_length=10, choices=LockMirror.pairs(), default=LockMirror.PENDING)

    def __str__(self) -> str:
        return f"{self.node_id} locked by {self.owner}"


class LockAudit(models.Model):
    """What happened to locks: one row for each taking, renewal by a person, release and expiry."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="lock_audit")
    lock_id = models.UUIDField()
    by = models.CharField(max_length=6)
    action = models.CharField(max_length=10)
    owner = models.CharField(max_length=150)
    actor = models.CharField(max_length=150, help_text="Who did it; a process where nobody did.")
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.action} {self.node_id} by {self.actor}"


class ProcessInstance(models.Model):
    """One running process of this installation; slots, shards and leadership end with it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, db_index=True)
    host = models.CharField(max_length=255)
    boot_id = models.CharField(max_length=64)
    pid = models.IntegerField()
    pid_created = models.FloatField(
        help_text="The process's start, so that a reused pid is not mistaken for it."
    )
    group_pid = models.IntegerField(default=0, help_text="The process group to end with it, 0 for none.")
    started_at = models.DateTimeField(auto_now_add=True)
    heartbeat_ms = models.BigIntegerField()
    expires_ms = models.BigIntegerField(db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.pid}@{self.host}"


class Leadership(models.Model):
    """Who leads among the processes of one kind; the epoch rises with each new leader."""

    name = models.CharField(max_length=20, primary_key=True)
    holder = models.UUIDField(null=True)
    epoch = models.BigIntegerField(default=0)
    expires_ms = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} epoch {self.epoch}"


class Installation(models.Model):
    """One row: the identity that agents know this installation by, so that two never share a node by mistake."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class Event(models.Model):
    """News for watchers: a hint that a row changed. The rows are the truth; events are pruned."""

    id = models.BigAutoField(primary_key=True)
    at_ms = models.BigIntegerField(db_index=True)
    topic = models.CharField(max_length=20)
    object_id = models.CharField(max_length=36)
    version = models.BigIntegerField(default=0)
    payload = models.CharField(max_length=2000, blank=True)

    def __str__(self) -> str:
        return f"{self.topic}/{self.object_id}"


class HistoryBlock(models.Model):
    """A stretch of one node's history, packed (`nodes.blocks`): raw readings, or points of one tier.

    Raw readings of several layouts have rows beside each other; a rolled-up block is one row.
    """

    id = models.BigAutoField(primary_key=True)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+", db_index=False)
    step_s = models.PositiveIntegerField(help_text="The tier: seconds from point to point, 0 for readings.")
    start_ms = models.BigIntegerField(help_text="Epoch milliseconds by the database's clock.")
    layout = models.BigIntegerField(help_text="Stands for the figures; 0 in rolled-up blocks.")
    is_rolled = models.BooleanField(default=False, help_text="The next tier holds what this row holds.")
    figures = models.TextField(help_text="Which values the block holds, in order.")
    # The last column: SQLite reads the others without it.
    data = models.BinaryField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["node", "step_s", "start_ms", "layout"], name="one_block_per_stretch"
            ),
        )
        indexes = (
            models.Index(fields=["step_s", "start_ms"], name="history_by_age"),
            models.Index(
                fields=["step_s", "start_ms"], condition=models.Q(is_rolled=False), name="history_to_roll"
            ),
        )

    def __str__(self) -> str:
        return f"{self.node_id} {self.step_s} s from {self.start_ms}"


class Watch(models.Model):
    """Somebody looks at a node (0: at the fleet) until `expires_ms`; written by web processes while they show it."""

    subject = models.BigIntegerField(primary_key=True)
    expires_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.subject or 'the fleet'} is watched"


class JoinToken(models.Model):
    """An invitation: until its end, as many machines as it says may make themselves nodes with it."""

    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    name = models.CharField(max_length=100, blank=True)
    environment = models.CharField(max_length=50, default="default")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    expires_ms = models.BigIntegerField(help_text="Epoch milliseconds by the database's clock.")
    most_uses = models.PositiveIntegerField(default=1)
    uses = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.prefix


class NodeJoin(models.Model):
    """One machine that joined: when, by which token, and what was found of it. Written once."""

    token = models.ForeignKey(JoinToken, on_delete=models.SET_NULL, null=True, related_name="joins")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="joins")
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    address = models.CharField(max_length=45)
    mode = models.CharField(max_length=4)
    is_again = models.BooleanField(default=False, help_text="It took its old node over.")
    reason = models.CharField(max_length=300, blank=True, help_text="Why its agent has to push.")
    engines = models.JSONField(default=list, help_text="Each with whether it is used, and why not.")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.node_id} at {self.at}"


class PushedReading(models.Model):
    """A reading that an agent pushed; web writes it, the controller takes it, and its text goes then.

    What was taken stays as a stamp, so that a reading that is sent twice counts once. Bounded per node.
    """

    # The constraint below has an index that begins with it.
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="pushed", db_index=False)
    received_ms = models.BigIntegerField()
    at_ms = models.BigIntegerField(help_text="When it was sampled, by the database's clock.")
    sampled_at = models.DateTimeField(null=True, help_text="The same by the agent's clock.")
    clock_skew_s = models.FloatField(null=True)
    reading = models.TextField(help_text="The agent's status, JSON.")
    is_taken = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["node", "sampled_at"], name="one_row_per_sample"),)
        indexes = (
            models.Index(fields=["node", "at_ms", "received_ms"], name="pushed_newest"),
            models.Index(fields=["node"], condition=models.Q(is_taken=False), name="pushed_new"),
        )

    def __str__(self) -> str:
        return f"{self.node_id} at {self.at_ms}"
