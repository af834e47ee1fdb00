"""Exports through every face."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tests.contract.test_reads import ask, created
from tests.hosts.base import EVENTS, PRIVATE, PUBLIC, RIVAL_PRIVATE, SHOP, Host, an_event, without


def lines(body: bytes) -> list[Any]:
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.decode().removesuffix("\n").split("\n")]


def table(body: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(body.decode(), newline=""))]


def test_ndjson_holds_the_events_as_they_are_read(host: Host) -> None:
    events = [
        created(host),
        created(host, assetId='a "chair"\n', userId="ü\u2028\x01", configId="abcdefgh", device="\\", metric=0.1 + 0.2),
        created(host, eventMetadata={"a": [1, {"b": None}], "x": "ü"}, configuration={}, metric=-1e300),
    ]
    created(host, orgId="rival")
    reply = ask(host, "export")
    assert (reply.status, lines(reply.body)) == (200, events)
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.headers["content-disposition"] == 'attachment; filename="events.ndjson"'
    assert lines(ask(host, "export", token=RIVAL_PRIVATE).body)[0]["orgId"] == "rival"


def test_a_full_ndjson_has_what_was_read_from_the_user_agent(host: Host) -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    event = host.from_page(an_event(assetId="ü", metric=0.1 + 0.2), headers={"User-Agent": agent}).json
    read = {"deviceType": "pc", "deviceFamily": "PC", "system": "Windows 10", "browser": "Firefox 140.0"}
    assert lines(ask(host, "export", full="true").body) == [{**event, **read}]
    assert lines(ask(host, "export").body) == [event]
    assert table(ask(host, "export", format="csv", full="true").body)[0]["browser"] == "Firefox 140.0"


def test_an_export_holds_what_the_filter_asks_for(host: Host) -> None:
    created(host)
    event = created(host, eventType="produce AR offered", assetId="chair")
    [line] = lines(ask(host, "export", assetId="chair").body)
    assert line == {**event, "eventType": "product AR offered"}
    assert ask(host, "export", assetId="table").body == b""


def test_csv_has_a_line_of_names_and_one_for_each_event(host: Host) -> None:
    assert table(ask(host, "export", format="csv").body) == []
    event = created(host, assetId='a "chair",\r\n', eventMetadata={"a": 1})
    reply = ask(host, "export", format="csv")
    [row] = table(reply.body)
    assert {**row, "eventMetadata": json.loads(row["eventMetadata"]), "metric": float(row["metric"])} == {
        **dict.fromkeys(row, ""),
        **without(event, "requestOrigin"),
        "deviceType": "other",
        "deviceFamily": row["deviceFamily"],
        "system": row["system"],
        "browser": row["browser"],
    }
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.body.startswith(b"id,createdAt,eventType,orgId,sessionId,")


@pytest.mark.parametrize("start", [*"=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"], ids=ascii)
def test_no_cell_is_a_formula(host: Host, start: str) -> None:
    created(host, assetId=f"{start}1+1", userId="5=", metric=-5.2)
    [row] = table(ask(host, "export", format="csv").body)
    assert (row["assetId"], row["userId"], row["metric"]) == (f"'{start}1+1", "5=", "-5.2")


def test_parquet_has_typed_columns(host: Host) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    event = created(host, assetId="chair", eventMetadata={"a": 1}, metric=2.5)
    created(host)
    reply = ask(host, "export", format="parquet")
    read = parquet.read_table(io.BytesIO(reply.body))
    assert {name: str(read.schema.field(name).type) for name in ("createdAt", "metric", "assetId")} == {
        "createdAt": "timestamp[ms, tz=UTC]",
        "metric": "double",
        "assetId": "string",
    }
    first, second = read.to_pylist()
    assert (first["id"], first["assetId"], first["metric"]) == (event["id"], "chair", 2.5)
    assert first["createdAt"].isoformat(timespec="milliseconds").replace("+00:00", "Z") == event["createdAt"]
    assert json.loads(first["eventMetadata"]) == {"a": 1}
    assert second["assetId"] is None


def test_an_export_is_checked_before_it_begins(host: Host) -> None:
    assert ask(host, "export", format="xlsx").locs == [["query", "format"]]
    assert ask(host, "export", orgId="rival").status == 403
    public = host.request("GET", f"{EVENTS}/export", query=f"bearer_token={PUBLIC}", headers={"Origin": SHOP})
    assert public.status == 403
    head = host.request("HEAD", f"{EVENTS}/export", headers={"Authorization": f"Bearer {PRIVATE}"})
    assert (head.status, head.body, head.headers["content-type"]) == (200, b"", "application/x-ndjson")
