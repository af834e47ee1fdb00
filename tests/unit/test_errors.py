"""Errors: caught by their base, and the same on the other side of a process boundary."""

from __future__ import annotations

import copy
import pickle

import pytest

from tk_analytics_mw import errors

SAMPLES: list[errors.AnalyticsError] = [
    errors.AnalyticsError("x"),
    errors.ConfigurationError("no"),
    errors.InvalidEvent.at("body", "orgId", msg="must not be blank", type="blank"),
    errors.InvalidEvent([]),
    errors.Reject("no bots"),
    errors.Refused("no", status=405, headers={"Allow": "POST"}),
    errors.StorageUnavailable("locked", retry_after=7),
    errors.Drop("no consent"),
    errors.ReadTooLong(5.0),
    errors.Retry("the printer is out of paper", after=60),
    errors.Discard("sold out"),
    errors.SwitchOff("410"),
    errors.AddressRefused("localhost is 127.0.0.1"),
]


def test_there_is_a_sample_of_every_error() -> None:
    kinds = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds == {type(sample) for sample in SAMPLES}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying(error: errors.AnalyticsError) -> None:
    """As a process pool and a task queue do it: an error that cannot be unpickled breaks the pool."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))
