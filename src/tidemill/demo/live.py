"""What a person sees while the demonstration runs."""

from __future__ import annotations

from collections import deque
from datetime import date

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tidemill.demo.progress import Moment
from tidemill.loop.records import Decision

_COLOURS = {
    "train": "cyan",
    "advance": "blue",
    "promote": "green",
    "rollback": "red",
    "refuse-data": "red",
}
_SHADES = " ▁▂▃▄▅▆▇█"


class LiveView:
    """A live view on a terminal, plain lines elsewhere.

    Args:
        console: Where to.
        days: How many days will be played.
    """

    def __init__(self, console: Console, days: int) -> None:
        self._console = console
        self._terminal = console.is_terminal
        self._log: deque[Text] = deque(maxlen=12)
        self._quality: deque[float] = deque(maxlen=48)
        self._moment: Moment | None = None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(None), TimeElapsedColumn(), expand=True
        )
        self._task = self._bar.add_task("preparing", total=days)
        self._live = Live(self._render(), console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> LiveView:
        if self._terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show what is being prepared."""
        self._bar.update(self._task, description=text)
        if self._terminal:
            self._refresh()
        else:
            self._console.print(text)

    def day(self, moment: Moment) -> None:
        """Show where the replay is."""
        self._moment = moment
        if moment.quality is not None and moment.new_window:
            self._quality.append(moment.quality)
        self._bar.update(self._task, completed=moment.number, description=f"{moment.day:%d %b %Y}")
        if self._terminal:
            self._refresh()

    def finding(self, day: date, kind: str, message: str) -> None:
        """Show a finding."""
        self._add(day, kind, message, "yellow")

    def decision(self, decision: Decision) -> None:
        """Show a decision, and what came of it."""
        colour = _COLOURS.get(decision.kind, "white")
        said = decision.reason if decision.outcome == "pending" else f"→ {decision.result}"
        self._add(decision.time.date(), decision.kind, said, colour)

    def _add(self, day: date, kind: str, message: str, colour: str) -> None:
        line = Text.assemble(
            (f"{day:%d %b}  ", "dim"), (f"{kind:<12}", colour), message, no_wrap=False
        )
        self._log.append(line)
        if self._terminal:
            self._refresh()
        else:
            self._console.print(line)

    def _refresh(self) -> None:
        self._live.update(self._render())

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [self._bar]
        if self._moment is not None:
            parts.append(self._facts(self._moment))
        lines = [_one_line(line, self._console.width - 6) for line in self._log]
        title = "findings and decisions"
        parts.append(Panel(Group(*lines) if lines else Text("…"), title=title, border_style="dim"))
        return Group(*parts)

    def _facts(self, moment: Moment) -> Table:
        table = Table.grid(padding=(0, 3), expand=True)
        for _ in range(5):
            table.add_column(justify="left", ratio=1)
        table.add_row(*(Text(t, "dim") for t in ("live", "traffic", "answered", "AUC", "trend")))
        quality = "–" if moment.quality is None else f"{moment.quality:.3f}"
        table.add_row(
            Text(moment.live, "bold"),
            moment.traffic,
            f"{moment.predictions:,}",
            quality,
            _sparkline(list(self._quality)),
        )
        return table


def _one_line(text: Text, width: int) -> Text:
    cut = text.copy()
    cut.truncate(max(width, 20), overflow="ellipsis")
    return cut


def _sparkline(values: list[float]) -> str:
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step = (high - low) / (len(_SHADES) - 2) or 1.0
    return "".join(_SHADES[1 + int((v - low) / step)] for v in values)
