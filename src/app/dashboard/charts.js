// Traffic: the figures of now and of 15 minutes, and two charts. uPlot is a global of its own script.
import { $, facts, h, text } from "./dom.js";
import { age, bytes, millis, percent, rate } from "./format.js";

const kHeightRem = 12;
const kLabelRem = 6.5;
const kKeep = 900;
const kColumns = ["time", "requests_per_s", "errors_per_s", "p50_ms", "p95_ms", "p99_ms"];

const samples = Object.fromEntries(kColumns.map((name) => [name, []]));
let plots = [];

export function lastTime() {
  return samples.time.at(-1) ?? 0;
}

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const kCharts = [
  {
    id: "rates",
    format: rate,
    series: [
      { name: "requests", column: "requests_per_s", stroke: "--accent", fill: "--accent-soft" },
      { name: "errors", column: "errors_per_s", stroke: "--bad" },
    ],
  },
  {
    id: "latency",
    format: millis,
    series: [
      { name: "p99", column: "p99_ms", stroke: "--series-3" },
      { name: "p95", column: "p95_ms", stroke: "--series-2" },
      { name: "p50", column: "p50_ms", stroke: "--accent" },
    ],
  },
];

function showLegend(chart, index) {
  const legend = $(`${chart.id}-legend`);
  const at = index ?? samples.time.length - 1;
  chart.series.forEach((series, i) => {
    const item = legend.children[i] ?? legend.appendChild(h("span", { "data-series": series.stroke.slice(2) }));
    text(item, `${series.name} ${chart.format(samples[series.column][at])}`);
  });
}

function makePlot(chart) {
  const box = $(chart.id);
  const grid = { stroke: color("--line"), width: 1 };
  const em = rem();
  const axis = { stroke: color("--muted"), grid, ticks: { show: false }, font: `${0.85 * em}px system-ui` };
  const plot = new window.uPlot(
    {
      width: box.clientWidth,
      height: kHeightRem * em,
      padding: [8, 1.8 * em, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "traffic" }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 1) * 1.08] } },
      axes: [
        { ...axis, size: 2 * em, incrs: [1, 5, 10, 15, 30, 60, 120, 300], space: kLabelRem * em, values: [[60, "{HH}:{mm}", null, null, null, null, null, null, 1], [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]] },
        { ...axis, size: 3.6 * em, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : tick.toLocaleString("en"))) },
      ],
      series: [
        {},
        ...chart.series.map((series) => ({
          label: series.name,
          stroke: color(series.stroke),
          fill: series.fill && color(series.fill),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      hooks: { setCursor: [(self) => showLegend(chart, self.cursor.idx)] },
    },
    dataOf(chart),
    box,
  );
  return { plot, chart, box };
}

const dataOf = (chart) => [samples.time, ...chart.series.map((series) => samples[series.column])];

function rebuild() {
  for (const { plot } of plots) plot.destroy();
  plots = kCharts.map(makePlot);
}

export function startCharts() {
  rebuild();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  const watcher = new ResizeObserver(() => {
    for (const { plot, box } of plots) {
      if (plot.width !== box.clientWidth) plot.setSize({ width: box.clientWidth, height: kHeightRem * rem() });
    }
  });
  for (const { box } of plots) watcher.observe(box);
}

function vitals({ now, window: whole }) {
  const errors = now.error_share > 0.01 ? "bad" : now.error_share > 0 ? "warn" : null;
  const pairs = [
    ["requests a second", rate(now.requests_per_s), rate(whole.requests_per_s)],
    ["errors", percent(now.error_share), percent(whole.error_share), errors],
    ["p50", millis(now.p50_ms), millis(whole.p50_ms)],
    ["p95", millis(now.p95_ms), millis(whole.p95_ms)],
    ["p99", millis(now.p99_ms), millis(whole.p99_ms)],
    ["in", `${bytes(now.bytes_in_per_s)}/s`, `${bytes(whole.bytes_in_per_s)}/s`],
    ["out", `${bytes(now.bytes_out_per_s)}/s`, `${bytes(whole.bytes_out_per_s)}/s`],
  ];
  facts($("vitals"), pairs.map(([name, value, , tone]) => [name, value, tone]));
  pairs.forEach(([, , average], i) => {
    const item = $("vitals").children[i];
    const small = item.children[2] ?? item.appendChild(h("dd", { class: "average" }));
    text(small, `${age(whole.span_s)}: ${average}`);
  });
}

// `stats` is an answer of /v1/stats since lastTime().
export function addStats(stats) {
  for (const name of kColumns) {
    samples[name].push(...stats.samples[name]);
    samples[name].splice(0, samples[name].length - kKeep);
  }
  vitals(stats);
  for (const { plot, chart } of plots) {
    plot.setData(dataOf(chart));
    if (plot.cursor.left < 0 || plot.cursor.left === undefined) showLegend(chart, null);
  }
}
