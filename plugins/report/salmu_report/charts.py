"""How each picture is drawn, once for the page and for print: Vega-Lite, made with Altair. Needs no torch.

Data come by name, so that the page can filter them. Colours are of Okabe and Ito's set, told apart by colour-blind
eyes, and nothing is said by colour alone: methods differ in their mark, reference models in their line, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

#: Reference models and the unlearned one, on a light and on a dark ground.
MODELS = ("compromised", "clean", "unlearned")
_INKS = {
    "light": {"ink": "#1f2328", "faint": "#59636e", "line": "#d1d9e0", "ground": "#ffffff", "good": "#00795a"},
    "dark": {"ink": "#e6edf3", "faint": "#9198a1", "line": "#3d444d", "ground": "#1c2128", "good": "#2fcf9f"},
}
_MODEL_COLOURS = {"light": ["#b34c00", "#0067a3", "#00795a"], "dark": ["#f0a24a", "#63bdf2", "#2fcf9f"]}
#: Seven colours, lighter on a dark ground, and six marks: forty-two methods that differ in both or one.
_COLOURS = {
    "light": ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c8c8c"],
    "dark": ["#4aa8e0", "#ff8a4c", "#2fcf9f", "#e39bc6", "#f0b43c", "#8fd0f5", "#a8a8a8"],
}
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]

_STAR = "M0,-1L0.24,-0.31L0.95,-0.31L0.38,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.38,0.12L-0.95,-0.31L-0.24,-0.31Z"
#: How reference models are marked: by no method's mark.
_MARKS = {"compromised": "M-1,-1L1,1M-1,1L1,-1", "clean": "M-1,0L1,0M0,-1L0,1", "ideal": _STAR}
Spec = dict[str, Any]


def config(shade: str) -> Spec:
    """Colours and type of a shade, ``light`` or ``dark``."""
    ink = _INKS[shade]
    text = {"labelColor": ink["faint"], "titleColor": ink["ink"], "labelFontSize": 12, "titleFontSize": 13}
    return {
        "background": "transparent",
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
        "view": {"stroke": ink["line"]},
        "axis": {
            **text,
            "gridColor": ink["line"],
            "gridOpacity": 0.6,
            "domainColor": ink["line"],
            "tickColor": ink["line"],
        },
        "legend": {**text, "labelLimit": 240, "symbolSize": 90},
        "title": {"color": ink["ink"], "subtitleColor": ink["faint"], "anchor": "start", "fontSize": 14},
        "style": {
            "ink": {"color": ink["ink"], "fill": ink["ink"], "stroke": ink["ink"], "strokeWidth": 2},
            "aim": {"color": ink["faint"]},
            "passes": {"color": ink["good"], "opacity": 0.16},
            "label": {"color": ink["ink"], "fontSize": 12},
            "marked": {"color": ink["ink"]},
            # Some colours alone are too pale for a mark of this size.
            "dot": {"stroke": ink["ink"], "strokeWidth": 0.7},
        },
        "range": {"category": _MODEL_COLOURS[shade], "ordinal": _COLOURS[shade], "symbol": _SHAPES},
    }


def _methods(methods: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    columns = alt.ExprRef("width > 400 ? 4 : width > 230 ? 2 : 1")
    legend = alt.Legend(title=None, orient="bottom", columns=columns, symbolOpacity=1)
    colour = alt.Color("method:N", legend=legend).scale(domain=list(methods), range="ordinal")
    shape = alt.Shape("method:N", legend=legend).scale(domain=list(methods), range="symbol")
    return colour, shape


def tradeoff(methods: Sequence[str], leak: str, y: str, title: str, marks: Mapping[str, Any], budgets: int = 1) -> Spec:
    """Leak against something that should stay: one point a line, with both intervals, budgets joined.

    Args:
        methods: All methods, in order of their colours.
        leak: The figure the leak is measured by.
        y: Field of ``lines`` that says what stayed, with ``{y}_low`` and ``{y}_high``.
        title: Of the axis.
        marks: ``x`` and ``y``, the ends of the axes; ``passes``, the corner where no bar is missed, as x, x2, y,
            y2; ``clean_above``, whether Clean lies above the ideal.
        budgets: How many budgets there are: where several, each point has its own beside it.
    """
    colour, shape = _methods(methods)
    pick = alt.selection_point(fields=["method"], bind="legend", name="picked")
    faded = alt.condition(pick, alt.value(1), alt.value(0.12))
    x = alt.X("leak:Q", title=f"{leak}, log: left leaks less")
    x = x.scale(type="log", domain=list(marks["x"]), nice=False).axis(tickCount=4, format="~g")
    height = alt.Y(f"{y}:Q", title=title).scale(domain=list(marks["y"]), nice=False)
    height = height.axis(format=".0%" if y == "kept" else ".2f", tickCount=6)
    form = ".1%" if y == "kept" else ".4f"
    tips = [
        alt.Tooltip("label:N", title="method"),
        alt.Tooltip("budget:N", title="budget"),
        alt.Tooltip("runs:N", title="runs"),
        alt.Tooltip("leak:Q", title=leak, format=".4f"),
        alt.Tooltip(f"{y}:Q", title=title.partition(":")[0], format=form),
        alt.Tooltip("modes:N", title="failure modes"),
        alt.Tooltip(f"front_{y}:N", title="front"),
    ]
    lines = alt.Chart(alt.NamedData("lines"))
    passes = alt.Chart(alt.InlineData(values=[marks["passes"]])).mark_rect(style="passes", clip=True)
    corner = alt.Chart(alt.NamedData("references"))
    layers = [
        passes.encode(x=alt.X("x:Q"), x2="x2:Q", y=alt.Y("y:Q"), y2="y2:Q"),
        corner.mark_rule(style="aim", strokeDash=[4, 4]).encode(x="leak:Q").transform_filter("datum.role == 'ideal'"),
        corner.mark_rule(style="aim", strokeDash=[4, 4]).encode(y=f"{y}:Q").transform_filter("datum.role == 'ideal'"),
        lines.mark_line(strokeWidth=1.2, opacity=0.55, clip=True).encode(
            x=x, y=height, color=colour, detail="series:N", order="budget:Q", opacity=faded
        ),
        lines.mark_rule(clip=True, opacity=0.6).encode(
            x="leak_low:Q", x2="leak_high:Q", y=f"{y}:Q", color=colour, opacity=faded
        ),
        lines.mark_rule(clip=True, opacity=0.6).encode(
            x="leak:Q", y=f"{y}_low:Q", y2=f"{y}_high:Q", color=colour, opacity=faded
        ),
        lines.mark_point(size=260, style="marked", filled=False, strokeWidth=1.2, clip=True)
        .encode(
            x="leak:Q",
            y=f"{y}:Q",
            opacity=alt.condition(pick, alt.value(0.9), alt.value(0)),
            strokeDash=alt.condition(f"datum.front_{y} == 'tied'", alt.value([3, 3]), alt.value([1, 0])),
        )
        .transform_filter(f"datum.front_{y} == 'on' || datum.front_{y} == 'tied'"),
        lines.mark_point(size=95, filled=True, opacity=1, clip=True, style="dot")
        .encode(x="leak:Q", y=f"{y}:Q", color=colour, shape=shape, opacity=faded, tooltip=tips)
        .add_params(pick),
        *(
            lines.mark_text(style="label", align="left", dx=8, dy=-7, fontSize=10, clip=True).encode(
                x="leak:Q", y=f"{y}:Q", text="budget:N", opacity=faded
            )
            for _ in range(budgets > 1)
        ),
        *_reference_marks(corner, y, tips[3:5], marks["clean_above"]),
    ]
    return _spec(alt.layer(*layers), 420)


def _reference_marks(corner: alt.Chart, y: str, tips: Sequence[alt.Tooltip], clean_above: bool) -> Iterator[alt.Chart]:
    """Both reference models and the ideal, and their names."""
    for role, form in _MARKS.items():
        yield (
            corner.mark_point(size=150, filled=True, style="ink", opacity=1, shape=form)
            .encode(x="leak:Q", y=f"{y}:Q", tooltip=[alt.Tooltip("name:N"), *tips])
            .transform_filter(f"datum.role == '{role}'")
        )
    # Clean and the ideal may lie close together: the upper one's name stands above it, the other's below.
    heights = {"compromised": -12, "clean": -12 if clean_above else 14, "ideal": 14 if clean_above else -12}
    for role, dy in heights.items():
        yield (
            corner.mark_text(style="label", align="right", dx=-10, dy=dy)
            .encode(x="leak:Q", y=f"{y}:Q", text="name:N")
            .transform_filter(f"datum.role == '{role}'")
        )


def histogram(title: str, low: float, high: float, legend: bool = False) -> Spec:
    """Cosines of a split in three models: the references filled, the unlearned one as a line."""
    bins = alt.Chart(alt.NamedData("bins"))
    key = (
        alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
        if legend
        else None
    )
    colour = alt.Color("model:N", legend=key).scale(domain=list(MODELS))
    x = alt.X("start:Q", title="cosine of image and caption").scale(domain=[low, high], nice=False)
    x = x.axis(tickCount=4, labelOverlap=True)
    y = alt.Y("share:Q", title="pairs (%)").stack(None)
    tips = [
        alt.Tooltip("model:N"),
        alt.Tooltip("start:Q", title="cosine from", format=".3f"),
        alt.Tooltip("share:Q", title="pairs (%)", format=".2f"),
    ]
    dash = alt.StrokeDash("model:N", legend=key).scale(domain=list(MODELS), range=[[2, 2], [6, 3], [1, 0]])
    filled = (
        bins.mark_area(interpolate="step-after", opacity=0.28)
        .encode(x=x, y=y, color=colour)
        .transform_filter("datum.model != 'unlearned'")
    )
    outline = bins.mark_line(interpolate="step-after", strokeWidth=1.4).encode(x=x, y=y, color=colour, strokeDash=dash)
    hover = bins.mark_rect(opacity=0).encode(x=x, x2="end:Q", y=alt.value(0), y2=alt.value(170), tooltip=tips)
    hover = hover.transform_filter("datum.model == 'unlearned'")
    return _spec(alt.layer(filled, outline, hover).properties(title=title), 170)


def bins(panel: Mapping[str, Any], line: str) -> list[dict[str, Any]]:
    """Rows of a histogram: Compromised, Clean and one line, each closed by a bin of nothing.

    Args:
        panel: With ``start``, ``width`` and ``shares`` by model.
        line: Name of the line's model.
    """
    rows = []
    for name, model in (("compromised", "compromised"), ("clean", "clean"), ("unlearned", line)):
        shares = panel["shares"].get(f"{line}:{model}") or panel["shares"].get(model, [])
        for i, share in enumerate([*shares, 0.0] if shares else []):
            start = panel["start"] + i * panel["width"]
            rows.append({"model": name, "share": share, "start": start, "end": start + panel["width"]})
    return rows


def curve(title: str, budgets: int) -> Spec:
    """One logged scalar over a run's steps, a line for each run; coloured by budget where there are several."""
    legend = alt.Legend(title="budget", orient="bottom") if budgets > 1 else None
    chart = (
        alt.Chart(alt.NamedData("points"), title=title)
        .mark_line(strokeWidth=1.3, opacity=1)
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("value:Q", title=None).scale(zero=False),
            color=alt.Color("budget:N", legend=legend).scale(range="ordinal"),
            strokeDash=alt.StrokeDash("budget:N", legend=legend),
            detail="run:N",
            tooltip=[alt.Tooltip("run:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".4g")],
        )
    )
    return _spec(chart, 170)


def cost(methods: Sequence[str], seconds: Sequence[float]) -> Spec:
    """Seconds of every run, by method; the axis stays where it is, whatever is filtered away."""
    colour, shape = _methods(methods)
    least, most = min(seconds, default=1.0), max(seconds, default=10.0)
    axis = alt.X("seconds:Q", title="seconds a run, logarithmic").axis(tickCount=4, format="~g")
    chart = (
        alt.Chart(alt.NamedData("runs"))
        .mark_point(filled=True, size=70, opacity=1, style="dot")
        .encode(
            x=axis.scale(type="log", domain=[least / 1.2, most * 1.2]),
            y=alt.Y("method:N", title=None, sort="x"),
            color=colour.legend(None),
            shape=shape.legend(None),
            tooltip=[alt.Tooltip("run:N"), alt.Tooltip("seconds:Q", format=".1f")],
        )
    )
    return _spec(chart, 24 * len(methods))


def recovered() -> Spec:
    """The share that each attack brings back, with its interval; a tick is what lay open before, the dashes the bar."""
    rows = alt.Chart(alt.NamedData("shares"))
    y = alt.Y("attack:N", title=None, sort=None).axis(labelLimit=260)
    x = alt.X("recovered:Q", title="share of the leak: 0% is as in Clean").axis(format="~%", tickCount=5)
    tips = [alt.Tooltip("attack:N")]
    tips += [
        alt.Tooltip(f"{name}:Q", format=".1%") for name in ("recovered", "recovered_low", "recovered_high", "before")
    ]
    layers = [
        rows.mark_rule(style="aim", strokeDash=[4, 4]).encode(x="max(bar):Q"),
        rows.mark_rule(style="ink").encode(x="recovered_low:Q", x2="recovered_high:Q", y=y),
        rows.mark_tick(style="aim", thickness=2).encode(x="before:Q", y=y),
        rows.mark_point(style="ink", size=80, filled=True, opacity=1).encode(x=x, y=y, tooltip=tips),
    ]
    return _spec(alt.layer(*layers), 60)


def stages(figure: str) -> Spec:
    """A leak from stage to stage of an attack, in the run and in both reference models under the same attack."""
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
    chart = (
        alt.Chart(alt.NamedData("points"))
        .mark_line(strokeWidth=1.6, point=True)
        .encode(
            x=alt.X("step:Q", title="how far the attack has gone").axis(tickCount=4),
            y=alt.Y("value:Q", title=figure),
            color=alt.Color("model:N", legend=legend).scale(domain=list(MODELS)),
            strokeDash=alt.StrokeDash("model:N", legend=legend).scale(
                domain=list(MODELS), range=[[2, 2], [6, 3], [1, 0]]
            ),
            tooltip=[alt.Tooltip("model:N"), alt.Tooltip("stage:N"), alt.Tooltip("value:Q", format=".4f")],
        )
    )
    return _spec(chart, 170)


def heatmap(fields: Sequence[str], lines: int, title: str, aim: str) -> Spec:
    """A share for each line and attribute, as a number on a shade that is darker the worse it is (``bad``, 0 to 1)."""
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X("field:N", title=None, sort=list(fields)).axis(orient="top", labelAngle=-35),
        y=alt.Y("label:N", title=None, sort=None),
    )
    shade = alt.Color("bad:Q", legend=None).scale(domain=[0, 1], clamp=True, range=["#fff9f3", "#a63b00"])
    light = alt.condition("datum.bad > 0.62", alt.value("#ffffff"), alt.value("#1f2328"))
    numbers = base.mark_text(fontSize=11).encode(text=alt.Text("share:Q", format=".0%"), color=light)
    chart = alt.layer(base.mark_rect().encode(color=shade), numbers).properties(
        title=alt.TitleParams(title, subtitle=aim)
    )
    return _spec(chart, 24 * lines)


def _spec(chart: Any, height: int) -> Spec:
    made: Spec = chart.to_dict()
    made.pop("config", None)
    made.pop("$schema", None)
    return {**made, "width": "container", "height": height, "padding": 10}
