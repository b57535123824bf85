import json
from datetime import UTC, datetime

import pytest

from core.engines.api_failures import failure_kind, may_be_billed, read_error, retry_after_s, without_key


def kind_of(status, **error):
    return failure_kind(read_error(status, json.dumps({"error": error})))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid"),
        (401, "auth"),
        (402, "quota"),
        (403, "auth"),
        (404, "auth"),
        (408, "transient"),
        (409, "transient"),
        (413, "invalid"),
        (422, "invalid"),
        (429, "rate_limit"),
        (500, "transient"),
        (502, "transient"),
        (503, "overloaded"),
        (504, "transient"),
        (529, "overloaded"),
    ],
)
def test_a_status_alone_decides_where_the_error_says_no_more(status, kind):
    assert failure_kind(read_error(status, b"")) == kind
    assert failure_kind(read_error(status, b"<html>sorry</html>")) == kind


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"code": "insufficient_quota", "type": "insufficient_quota", "message": "You exceeded your quota"}),
        (400, {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached"}),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}),
        (402, {"type": "billing_error", "message": "pay"}),
        (429, {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}, "message": "x"}),
    ],
)
def test_exhausted_credit_is_no_rate_limit(status, error):
    assert kind_of(status, **error) == "quota"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "content_filter", "message": "The response was filtered"}),
        (400, {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "filtered"}),
        (400, {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}),
        (400, {"code": "invalid_prompt", "message": "Your prompt was flagged as potentially violating our policy"}),
        (403, {"code": 403, "message": "Your input was flagged"}),
    ],
)
def test_a_filter_is_no_bad_request(status, error):
    assert kind_of(status, **error) == "content_filter"


def test_a_request_larger_than_the_limit_of_a_minute_is_not_asked_again():
    message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41327."
    assert kind_of(429, type="tokens", code="rate_limit_exceeded", message=message) == "invalid"
    assert kind_of(429, type="tokens", code="rate_limit_exceeded", message="Rate limit reached") == "rate_limit"


@pytest.mark.parametrize(
    "error",
    [
        {"code": "model_not_found", "message": "The model `m` does not exist or you do not have access to it."},
        {"type": "not_found_error", "message": "model: m"},
        {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."},
    ],
)
def test_a_model_that_is_not_there_is_no_fault_of_the_request(error):
    assert kind_of(404, **error) == "auth"


def test_only_a_gateway_that_gave_up_may_hide_a_bill():
    assert [status for status in (400, 408, 429, 500, 502, 503, 504, 529) if may_be_billed(status)] == [408, 504]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "8", "retry-after-ms": "7250"}, 7.25),
        ({"retry-after": "Mon, 02 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 02 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_the_time_to_wait_is_read_from_either_header(headers, seconds):
    now = datetime(2026, 11, 2, 10, 0, 0, tzinfo=UTC)
    assert retry_after_s(headers, now=now) == seconds


def test_a_message_tells_neither_the_key_nor_what_looks_like_one():
    message = without_key("Incorrect key my-secret; you sent sk-proj-abc***xyz. " + "x" * 1000, "my-secret")
    assert message.startswith("Incorrect key [key]; you sent [key]")
    assert len(message) == 500


def test_a_placeholder_key_is_not_found_inside_other_words():
    assert without_key("blocked: key k", "k") == "blocked: key [key]"
