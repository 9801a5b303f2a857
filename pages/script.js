// Draws the page's curves with uPlot, from the JSON in #charts (pages/charts.py says what is in it).
(function () {
"use strict";

const charts = JSON.parse(document.getElementById("charts").textContent);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const color = number => css("--c" + number % 7);
const drawn = new Map();  // by key: {plot, chart, log}
let smoothing = 0;

// --- numbers as people read them ---

const grouped = value => value.toLocaleString("en-US", {maximumFractionDigits: 0});

// How many it takes to tell ticks apart that are `step` apart.
function decimals(step) {
  let places = 0;
  while (places < 10 && Math.abs(step - +step.toFixed(places)) > step * 1e-6) places += 1;
  return places;
}

function compact(value, step) {
  const size = Math.abs(value);
  if (size >= 1e6) return +(value / 1e6).toPrecision(6) + " M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(6) + " k";
  if (size !== 0 && (size < 1e-3 || step < 1e-5)) return value.toExponential(Math.abs(value) < 1 ? 0 : 2).replace("e+", "e");
  return value.toFixed(decimals(step || 1));
}

function tick(kind, value, step) {
  if (value === null) return "";
  if (kind === "percent") {
    const places = step ? decimals(+(step * 100).toPrecision(6)) : 2;
    return (value * 100).toFixed(places) + " %";
  }
  if (kind === "step") return value >= 1e6 ? compact(value, step) : grouped(value);
  return compact(value, step);
}

function exact(kind, value) {
  if (value === null || value === undefined) return "–";
  if (kind === "percent") return (value * 100).toFixed(2) + " %";
  if (kind === "step") return grouped(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(2) : grouped(Math.trunc(value)).length > 5
    ? grouped(value) : String(+value.toPrecision(5));
}

// --- data ---

// TensorBoard's smoothing: an exponential mean, without the pull of its beginning.
function smoothed(values, weight) {
  let last = 0, count = 0;
  return values.map(value => {
    if (value === null) return null;
    last = last * weight + (1 - weight) * value;
    count += 1;
    return last / (1 - Math.pow(weight, count));
  });
}

function tableOf(chart) {
  const tables = [];
  for (const each of chart.series) {
    if (chart.smooths && smoothing) tables.push([each.x, each.y], [each.x, smoothed(each.y, smoothing)]);
    else tables.push([each.x, each.y]);
  }
  return uPlot.join(tables);
}

// The value that is pointed at; of curves over steps else the last one.
function legendValue(chart, kind) {
  return (plot, value, series, index) => {
    if (index !== null) return exact(kind, value);
    const values = plot.data[series];
    return chart.sync ? exact(kind, values[values.findLastIndex(each => each != null)]) : "";
  };
}

function seriesOf(chart) {
  const rows = [{label: chart.xLabel, value: legendValue(chart, chart.xKind)}];
  for (const each of chart.series) {
    const line = {
      label: each.name, spanGaps: true, width: 1.6, stroke: () => color(each.color), points: {show: false},
      value: legendValue(chart, chart.yKind),
    };
    if (each.dashed) line.dash = [6, 4];
    if (each.style === "steps" || each.style === "area") line.paths = uPlot.paths.stepped({align: 1});
    if (each.style === "area") line.fill = () => color(each.color) + "33";
    if (each.style === "points") line.paths = () => null;
    if (each.style === "points" || each.style === "marked" || each.x.length < 2)
      line.points = {show: true, size: 6, fill: () => color(each.color), stroke: () => color(each.color)};
    if (chart.smooths && smoothing) rows.push({...line, class: "raw", width: 1, stroke: () => color(each.color) + "44"});
    rows.push(line);
  }
  return rows;
}

// --- axes ---

function range(ends, log, pad) {
  return (_, low, high) => {
    if (low === null) return log ? [0.1, 1] : [0, 1];
    if (log) {
      const [bottom, top] = uPlot.rangeLog(low, high, 10, true);
      return [ends[0] === null ? bottom : ends[0], ends[1] === null ? top : ends[1]];
    }
    const space = pad ? (high - low || Math.abs(high) || 1) * pad : 0;
    return [ends[0] === null ? low - space : ends[0], ends[1] === null ? high + space : Math.max(ends[1], high)];
  };
}

function axisSize(plot, values, index, cycle) {
  const axis = plot.axes[index];
  if (cycle > 1) return axis._size;
  const longest = (values || []).reduce((text, value) => value && value.length > text.length ? value : text, "");
  plot.ctx.font = axis.font[0];
  return Math.ceil(axis.ticks.size + axis.gap + plot.ctx.measureText(longest).width / devicePixelRatio) + 4;
}

// Only the powers of ten of a log axis have words.
function logValues(_, values) {
  return values.map(value => {
    const power = Math.round(Math.log10(value));
    if (value === null || Math.abs(Math.log10(value) - power) > 1e-6) return null;
    return power >= -1 && power < 4 ? String(+value.toPrecision(3)) : "1e" + power;
  });
}

function axesOf(chart, log) {
  const common = {
    stroke: () => css("--faint"), font: "12px system-ui, sans-serif",
    grid: {stroke: () => css("--grid"), width: 1}, ticks: {stroke: () => css("--grid"), width: 1, size: 4}, gap: 4,
  };
  const shown = kind => (_, values, __, ___, step) => values.map(value => tick(kind, value, step));
  const x = {...common, size: 34, space: 64, values: chart.xLog ? logValues : shown(chart.xKind)};
  if (chart.xKind === "step") x.incrs = [1, 2, 5].flatMap(n => Array.from({length: 12}, (_, p) => n * 10 ** p)).sort((a, b) => a - b);
  const y = {...common, size: axisSize, space: 34, values: log ? logValues : shown(chart.yKind)};
  return [x, y];
}

function drawMarks(chart) {
  return plot => {
    const {ctx, bbox} = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = css("--faint");
    ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
    ctx.textBaseline = "top";
    for (const [place, word] of chart.marks) {
      if (place < plot.scales.x.min || place > plot.scales.x.max) continue;
      const x = Math.round(plot.valToPos(place, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const room = bbox.left + bbox.width - x > ctx.measureText(word).width + 8 * devicePixelRatio;
      ctx.textAlign = room ? "left" : "right";
      ctx.fillText(word, x + (room ? 4 : -4) * devicePixelRatio, bbox.top + 2 * devicePixelRatio);
    }
    ctx.restore();
  };
}

// --- drawing ---

function draw(chart) {
  const place = document.querySelector("#chart-" + chart.key + " .plot");
  const before = drawn.get(chart.key);
  const log = before ? before.log : chart.yLog;
  if (before) before.plot.destroy();
  const wide = place.closest(".wide");
  const plot = new uPlot({
    width: place.clientWidth, height: wide ? 300 : 240, series: seriesOf(chart), axes: axesOf(chart, log),
    padding: [10, 20, 0, 0],
    scales: {
      x: {time: false, distr: chart.xLog ? 3 : 1, range: chart.xRange.some(end => end !== null) ? zoomable(chart) : undefined},
      y: {distr: log ? 3 : 1, range: range(chart.yRange, log, 0.06)},
    },
    cursor: {sync: chart.sync ? {key: chart.sync, scales: ["x", null]} : undefined, drag: {x: true, y: false}, points: {size: 7}},
    hooks: {draw: chart.marks.length ? [drawMarks(chart)] : []},
  }, tableOf(chart), place);
  drawn.set(chart.key, {plot, chart, log});
}

// The chart's own range until the reader zooms into it.
function zoomable(chart) {
  return (plot, low, high) => {
    const all = plot.data[0], whole = low === all[0] && high === all[all.length - 1];
    return whole || low === null ? [chart.xRange[0] ?? low, chart.xRange[1] ?? high] : [low, high];
  };
}

function addButton(chart) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "log";
  button.title = "logarithmic axis";
  button.setAttribute("aria-pressed", chart.yLog);
  button.addEventListener("click", () => {
    const state = drawn.get(chart.key);
    state.log = !state.log;
    button.setAttribute("aria-pressed", state.log);
    draw(chart);
  });
  document.querySelector("#chart-" + chart.key + " figcaption").append(button);
}

const drawAll = () => charts.forEach(draw);

for (const chart of charts) {
  draw(chart);
  if (chart.smooths && chart.yKind === "number") addButton(chart);
}

const slider = document.getElementById("smoothing");
if (slider) slider.addEventListener("input", () => {
  smoothing = +slider.value;
  document.getElementById("smoothing-value").textContent = smoothing ? smoothing.toFixed(2) : "off";
  drawAll();
});

let width = window.innerWidth, waiting = null;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;  // a phone's address bar
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 100);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

// --- a run that goes on ---

const written = document.querySelector("time[datetime]");
if (written && document.body.dataset.state === "training") {
  const seconds = Math.round((Date.now() - Date.parse(written.getAttribute("datetime"))) / 1000);
  if (seconds > 600) {
    const words = seconds < 7200 ? Math.round(seconds / 60) + " minutes" : Math.round(seconds / 3600) + " hours";
    written.after(" (" + words + " ago: the run may have ended without saying so)");
  }
  const box = document.getElementById("reload");
  const key = "reload";
  box.checked = location.hash === "#" + key;
  box.addEventListener("change", () => { history.replaceState(null, "", box.checked ? "#" + key : location.pathname); });
  setInterval(() => { if (box.checked && !document.hidden) location.reload(); }, 30000);
}
})();
