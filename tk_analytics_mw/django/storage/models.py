"""The tables. ``Event.objects`` is for the host's own queries; the others are the storage's own affair.

What stands in a row is what :mod:`tk_analytics_mw.storage.rows` says.
"""

from __future__ import annotations

from django.db import models

from tk_analytics_mw.django.storage.encoding import Encoder

MAX_IDENTIFIER = 200
"""Characters, as in the contract."""


class Event(models.Model):
    """An event, as it was stored. It is not changed any more.

    ``created_at`` is UTC. ``position`` is the order of commits; it is ``None`` for the moment between the commit of a
    transaction of the host's, with the event in it, and the next look at positions.
    """

    id = models.UUIDField("ID", primary_key=True, editable=False)
    position = models.BigIntegerField(null=True, unique=True, editable=False)
    created_at = models.DateTimeField()
    event_type = models.CharField(max_length=MAX_IDENTIFIER)
    spelling = models.CharField(max_length=MAX_IDENTIFIER)
    org_id = models.CharField("organisation", max_length=MAX_IDENTIFIER)
    session_id = models.CharField("session", max_length=MAX_IDENTIFIER)
    event_metadata = models.JSONField("metadata", null=True, encoder=Encoder)
    asset_id = models.CharField("asset", max_length=MAX_IDENTIFIER, null=True)
    user_id = models.CharField("user", max_length=MAX_IDENTIFIER, null=True)
    config_id = models.CharField("saved configuration", max_length=MAX_IDENTIFIER, null=True)
    configuration = models.JSONField(null=True, encoder=Encoder)
    device = models.TextField(null=True)
    device_type = models.CharField(max_length=MAX_IDENTIFIER, null=True)
    device_family = models.TextField(null=True)
    system = models.TextField(null=True)
    browser = models.TextField(null=True)
    user_agent = models.TextField(null=True)
    metric = models.FloatField()
    request_url = models.TextField(null=True)
    request_origin = models.TextField(null=True)
    referer = models.TextField()
    # That of a batch, about a public organisation: both organisations' limits, and a number.
    idempotency_key = models.CharField(max_length=2 * MAX_IDENTIFIER + 20, null=True)

    class Meta:
        db_table = "tk_analytics_event"
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["org_id", "created_at"], name="tk_analytics_event_time"),
            models.Index(fields=["session_id"], name="tk_analytics_event_session"),
            models.Index(fields=["user_id"], name="tk_analytics_event_user", condition=models.Q(user_id__isnull=False)),
        )
        constraints = (
            # Any number of rows without a key. With a condition MySQL would leave the constraint out.
            models.UniqueConstraint(fields=["org_id", "idempotency_key"], name="tk_analytics_event_key"),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.id}"


class Delivery(models.Model):
    """One event for one subscription.

    ``ready_at`` says when a deliverer may take it: 0 for one that nobody has tried, ``DEAD`` for one that is given up,
    ``None`` for one that is settled. So one index has all that waits, and a long history costs nothing.
    """

    DEAD = -1.0

    event = models.ForeignKey(Event, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    name = models.CharField(max_length=MAX_IDENTIFIER)
    position = models.BigIntegerField(null=True)
    state = models.CharField(max_length=10, default="pending")
    attempts = models.IntegerField(default=0)
    ready_at = models.FloatField(null=True, default=0.0)
    first_tried_at = models.FloatField(null=True)
    settled_at = models.FloatField(null=True)
    owner = models.CharField(max_length=64, null=True)
    error = models.TextField(null=True)

    class Meta:
        db_table = "tk_analytics_delivery"
        default_permissions = ()
        indexes = (
            models.Index(
                fields=["name", "ready_at", "position"],
                name="tk_analytics_delivery_waiting",
                condition=models.Q(ready_at__isnull=False),
            ),
            models.Index(
                fields=["settled_at"],
                name="tk_analytics_delivery_settled",
                condition=models.Q(settled_at__isnull=False),
            ),
            models.Index(fields=["owner"], name="tk_analytics_delivery_owner", condition=models.Q(owner__isnull=False)),
        )
        constraints = (models.UniqueConstraint(fields=["event", "name"], name="tk_analytics_delivery_once"),)


class Subscription(models.Model):
    """A durable hook, and how far the past has been filled in for it."""

    name = models.CharField(max_length=MAX_IDENTIFIER, primary_key=True)
    enrolled_at = models.FloatField()
    backfill_after = models.BigIntegerField(null=True)
    backfill_until = models.BigIntegerField(null=True)
    delivered = models.BigIntegerField(default=0)
    discarded = models.BigIntegerField(default=0)
    off = models.TextField(null=True)

    class Meta:
        db_table = "tk_analytics_subscription"
        default_permissions = ()


class Counter(models.Model):
    """One row: the position that was given last. Who writes holds it until the commit: so commits are in order."""

    last = models.BigIntegerField(default=0)

    class Meta:
        db_table = "tk_analytics_counter"
        default_permissions = ()


class Token(models.Model):
    """A stored token: its digest, never itself."""

    id = models.CharField(max_length=MAX_IDENTIFIER, primary_key=True)
    digest = models.CharField(max_length=64, unique=True)  # SHA-256, in hexadecimal digits
    kind = models.CharField(max_length=10)
    org_id = models.CharField(max_length=MAX_IDENTIFIER)
    domains = models.JSONField()
    label = models.TextField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used = models.DateField(null=True)
    rotated_from = models.CharField(max_length=MAX_IDENTIFIER, null=True)

    class Meta:
        db_table = "tk_analytics_token"
        default_permissions = ()


class RefusalCount(models.Model):
    """How often something was refused on a day."""

    day = models.DateField()
    org_id = models.CharField(max_length=MAX_IDENTIFIER)
    token = models.TextField()
    reason = models.TextField()
    origin = models.TextField()
    number = models.BigIntegerField()

    class Meta:
        db_table = "tk_analytics_refusal"
        default_permissions = ()
        indexes = (models.Index(fields=["day", "org_id"], name="tk_analytics_refusal_day"),)


class RefusalSample(models.Model):
    """One request that was refused."""

    org_id = models.CharField(max_length=MAX_IDENTIFIER)
    refused_at = models.DateTimeField()
    token = models.TextField()
    reason = models.TextField()
    origin = models.TextField()
    path = models.TextField()

    class Meta:
        db_table = "tk_analytics_refusal_sample"
        default_permissions = ()
        indexes = (models.Index(fields=["org_id"], name="tk_analytics_refusal_org"),)
