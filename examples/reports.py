"""Two charts of a running shop, from its API: the funnel of the last days, and the events of each day.

Run it wherever the shop can be reached, with matplotlib installed and a private token in the environment:

    $ ANALYTICS_TOKEN=prv-… python reports.py http://localhost:5000/api/analytics --days 90 --timezone Europe/Berlin

It writes ``funnel.png`` and ``daily_views.png``; for a weekly mail, run it from cron.
"""

import argparse
import json
import os
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

INK, QUIET, PAPER = "#1f2933", "#6b7785", "#ffffff"
BAR, LOST, MEAN = "#2f6fab", "#dfe7ef", "#d9822b"
WIDTH, HEAD = 9.0, 0.9  # inches: of a chart, and of the title above it
WEEK, YEAR = 7, 365  # days
TIMEOUT = 30.0  # seconds; the API itself gives up after five
DPI = 150


def ask(api: str, token: str, path: str, **parameters: str) -> dict[str, Any]:
    """The answer of the API, ``api`` being where it is mounted."""
    # In a header: what is in a URL ends up in access logs.
    request = Request(f"{api}/{path}?{urlencode(parameters)}", headers={"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=TIMEOUT) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def draw_funnel(answer: dict[str, Any], period: str) -> Figure:
    """A bar for each step; behind it in grey, whom it lost since the step before."""
    steps = answer["steps"]
    sessions = [step["sessions"] for step in steps]
    before = [sessions[0], *sessions[:-1]]
    places = range(len(steps))
    figure, axes = _page(
        "How far sessions get", f"Sessions that reached each step, {period}", height=1.8 + 0.8 * len(steps)
    )
    axes.barh(places, before, color=LOST, height=0.62, label="reached the step before")
    bars = axes.barh(places, sessions, color=BAR, height=0.62, label="reached this step")
    for bar, step, wide in zip(bars, steps, before, strict=True):
        middle = bar.get_y() + bar.get_height() / 2
        axes.annotate(
            _said_of(step), (wide, middle), xytext=(8, 0), textcoords="offset points", va="center", color=INK, size=10
        )
    axes.set_yticks(places, [step["eventType"].removeprefix("product ") for step in steps])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1, *sessions) * 1.5)  # room for what is written behind the bars
    axes.set_xlabel("sessions")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    _explain(axes)
    return figure


def draw_views(answer: dict[str, Any], period: str) -> Figure:
    """A bar for each day, and the mean of seven days as a line: weekdays hide the trend."""
    days = [date(day["year"], day["month"], day["day"]) for day in answer["views"]]
    events = [day["views"] for day in answer["views"]]
    figure, axes = _page("Events a day", f"{sum(events):,} events, {period} ({answer['timezone']})", height=5.0)
    axes.bar(days, events, color=BAR, width=0.8, label="events of the day")
    if len(days) >= WEEK:
        means = [sum(events[end - WEEK : end]) / WEEK for end in range(WEEK, len(events) + 1)]
        axes.plot(days[WEEK - 1 :], means, color=MEAN, linewidth=2.2, label="mean of the last 7 days")
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=10))
    axes.xaxis.set_major_formatter(DateFormatter("%d %b %Y" if len(days) > YEAR else "%d %b"))
    axes.set_ylabel("events")
    axes.set_ylim(0, max(1, *events, 0) * 1.05)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", color=LOST)
    _explain(axes)
    return figure


def _page(title: str, subtitle: str, *, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - HEAD / height), w_pad=0.15, h_pad=0.1)
    for text, below, style in (
        (title, 0.2, {"size": 16, "weight": "bold", "color": INK}),
        (subtitle, 0.55, {"size": 10.5, "color": QUIET}),
    ):
        figure.text(0.15 / WIDTH, 1 - below / height, text, va="top", **style)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0, labelsize=10)
    axes.xaxis.label.set_color(QUIET)
    axes.yaxis.label.set_color(QUIET)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def _explain(axes: Axes) -> None:
    """Above the bars, where it covers none."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=9, labelcolor=QUIET, ncols=2)


def _said_of(step: dict[str, Any]) -> str:
    parts = [f"{step['sessions']:,}"]
    if step["conversion"] is not None:
        parts.append(f"{step['conversion']:.1%} of all")
    if step["medianSeconds"] is not None:
        parts.append(f"after {_duration(step['medianSeconds'])}")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    """Of the median time since the step before."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    """Ask, draw, write."""
    parser = argparse.ArgumentParser(description="Draw the funnel and the events of each day.")
    parser.add_argument("api", help="where the API is: http://localhost:5000/api/analytics")
    parser.add_argument("--days", type=int, default=30, help="until today")
    parser.add_argument("--timezone", default="UTC", help="whose days they are, such as Europe/Berlin")
    parser.add_argument("--into", type=Path, default=Path(), help="folder for the charts")
    options = parser.parse_args()
    token = os.environ.get("ANALYTICS_TOKEN")
    if not token:
        sys.exit("Put a private token into the environment: ANALYTICS_TOKEN=prv-…")
    last = datetime.now(ZoneInfo(options.timezone)).date()
    first = last - timedelta(days=options.days - 1)
    asked = {"startDate": str(first), "endDate": str(last), "timezone": options.timezone}
    period = f"{first:%d %b %Y} – {last:%d %b %Y}"  # noqa: RUF001
    try:
        charts = {
            "funnel.png": draw_funnel(ask(options.api, token, "events/funnel", **asked), period),
            "daily_views.png": draw_views(ask(options.api, token, "events/views", range="day", **asked), period),
        }
    except HTTPError as error:
        sys.exit(f"The API says {error.code}: {json.load(error)['detail']}")
    for name, figure in charts.items():
        figure.savefig(options.into / name, dpi=DPI)
        print(options.into / name)


if __name__ == "__main__":
    main()
