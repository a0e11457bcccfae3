"""The picture of the graph: what an ECharts force layout is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from copy import copy
from typing import Any, Literal

from nicegui import ui

from kgt.serve.page.parts import el, spoken
from kgt.serve.page.visit import MOST, Marks, View, Visit
from kgt.triple import Triple

Kind = Literal["own", "base", "used", "added", "removed"]
RELATIONS, NAMES = 14, 60
"""Up to so many facts, each line bears its relation, and every entity its name; beyond, those that matter now. The
rest appear under the pointer."""
_COLOR = {
    "own": "var(--edge)", "base": "var(--line)", "used": "var(--accent)",
    "added": "var(--added)", "removed": "var(--removed)",
}  # fmt: skip
_SAYS = {"used": "used for the answer", "added": "added", "removed": "removed"}


class Graph:
    """The picture, and in words what it shows."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._shown: object = None
        with el("figure", "picture"):
            self._chart = ui.echart(options(View(), Marks()), renderer="svg").classes("chart")
            self._chart.props.update({"role": "img", "aria-label": "Your knowledge graph; all facts are listed below"})
            self._empty = el("p", "empty", "Nothing is known about you yet. Say something, and it appears here.")
            with el("figcaption", "caption"):
                self._caption = el("span", "quiet", "")
                with el("span", "legend"):
                    for kind, says in _SAYS.items():
                        el("span", kind, says)
        self._chart.on("chart:rendered", js_handler=f"() => kgt.settle({self._chart.id})")
        visit.on(self._chart, "componentClick", self._chosen, "(e) => emit(e.dataType, e.data.id || e.data.source)")
        visit.panels.append(self._show)

    async def _chosen(self, clicked: Any) -> None:
        """Show what is known about the entity that was clicked."""
        self._visit.entity, self._visit.search = clicked[1], ""
        await self._visit.refresh()

    def _show(self) -> None:
        view, marks = self._visit.view, self._visit.marks
        shown = (view.facts, view.around, copy(marks), self._visit.entity)
        if shown == self._shown:  # to lay it out again would move it
            return
        self._shown = shown
        self._chart.options.clear()
        self._chart.options.update(options(view, marks, self._visit.entity))
        self._chart.update()
        drawn = drawn_facts(view, marks)
        self._empty.set_visibility(not drawn)
        own = len(view.facts)
        self._caption.set_text(f"Your newest {MOST} facts" if view.more else f"{own} {'fact' if own == 1 else 'facts'}")


def drawn_facts(view: View, marks: Marks) -> dict[Triple, Kind]:
    """Every fact in the picture, and what there is to say of it now."""
    kinds: dict[Triple, Kind] = {f.triple: "own" for f in view.facts}
    kinds |= dict.fromkeys((f.triple for f in view.around), "base")
    kinds |= dict.fromkeys(marks.removed, "removed")
    kinds |= dict.fromkeys(marks.used, "used")
    return kinds | dict.fromkeys(marks.added, "added")


def options(view: View, marks: Marks, chosen: str = "") -> dict[str, Any]:
    """The options of an ECharts graph series. Colours are the page's own, so that they follow its theme."""
    drawn = drawn_facts(view, marks)
    kinds: dict[str, list[Kind]] = defaultdict(list)
    for z, kind in drawn.items():
        kinds[z.key[0]].append(kind)
        kinds[z.key[2]].append(kind)
    subjects = {z.key[0] for z in drawn}
    labelled = len(drawn) <= RELATIONS
    parallel: Counter[frozenset[str]] = Counter()
    lines = []
    for z, kind in drawn.items():
        ends = frozenset((z.key[0], z.key[2]))
        lines.append(_line(z, kind, labelled, 0.18 * parallel[ends]))
        parallel[ends] += 1
    return {
        "animationDurationUpdate": 400,
        "series": [
            {
                "type": "graph",
                "layout": "force",
                "roam": True,
                "draggable": True,
                "data": [
                    _node(key, name, kinds[key], key in subjects, len(kinds) <= NAMES, key == chosen)
                    for key, name in _names(drawn).items()
                ],
                "links": lines,
                "force": {
                    "repulsion": 700,
                    "edgeLength": 120,
                    "gravity": 0.2,
                    "layoutAnimation": False,
                },
                "edgeSymbol": ["none", "arrow"],
                "edgeSymbolSize": 7,
                "labelLayout": {"hideOverlap": True},
                "emphasis": {"focus": "adjacency", "scale": False, "lineStyle": {"color": "inherit", "width": 2}},
                "scaleLimit": {"min": 0.3, "max": 4},
            }
        ],
    }


def _names(drawn: Iterable[Triple]) -> dict[str, str]:
    """Every entity, by its key, as it was first written."""
    names: dict[str, str] = {}
    for z in drawn:
        names.setdefault(z.key[0], z.subject)
        names.setdefault(z.key[2], z.object)
    return names


def _node(key: str, name: str, kinds: list[Kind], is_subject: bool, named: bool, chosen: bool) -> dict[str, Any]:
    kind = next((k for k in ("added", "used", "own", "removed") if k in kinds), "base")
    matters = kind in _SAYS
    color = _COLOR[kind] if matters else "var(--node)" if is_subject else "var(--leaf)"
    return {
        "id": key,
        "name": name,
        "symbolSize": min(34, 9 + 3 * len(kinds) ** 0.7 + (4 if matters else 0)),
        "itemStyle": {
            "color": color,
            "borderColor": "var(--ink)" if chosen else "var(--raised)",
            "borderWidth": 2,
        },
        "emphasis": {"itemStyle": {"color": "inherit"}, "label": {"show": True}},
        "label": {
            "show": matters or is_subject or named,
            "position": "bottom",
            "distance": 4,
            "width": 130,
            "overflow": "truncate",
            "color": "var(--ink)" if is_subject or matters else "var(--muted)",
            "fontFamily": "Roboto, sans-serif",
            "textBorderColor": "var(--raised)",
            "textBorderWidth": 3,
            "fontSize": 12.5 if is_subject or matters else 11.5,
            "fontWeight": 500 if is_subject or matters else 400,
        },
    }


def _line(z: Triple, kind: Kind, labelled: bool, curve: float) -> dict[str, Any]:
    matters = kind in _SAYS
    return {
        "source": z.key[0],
        "target": z.key[2],
        "lineStyle": {
            "color": _COLOR[kind],
            "width": 2.5 if matters else 1.2,
            "type": "dashed" if kind == "removed" else "solid",
            "opacity": 1,
            "curveness": curve,
        },
        "label": {
            "show": matters or labelled,
            "formatter": spoken(z.relation).replace("{", "("),
            "color": _COLOR[kind] if matters else "var(--muted)",
            "fontFamily": "Roboto, sans-serif",
            "textBorderColor": "var(--raised)",
            "textBorderWidth": 3,
            "fontSize": 11,
        },
    }
