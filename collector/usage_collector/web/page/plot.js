// Hours by day as stacked bars (Chart.js). Days of which not all is known are hatched.

import { colour, make, show } from "./dom.js";
import { big, hours, nameOf, plural, told } from "./figures.js";

const COLOURS = 8;
export const MOST = COLOURS - 1;
let chart = null;

function hatch() {
  const tile = make("canvas", { width: 6, height: 6 });
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour("bad");
  pen.globalAlpha = 0.55;
  pen.beginPath();
  for (const at of [-6, 0, 6]) {
    pen.moveTo(at, 6);
    pen.lineTo(at + 6, 0);
  }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

function bands(days, known) {
  return {
    id: "bands",
    beforeDatasetsDraw({ ctx, chartArea, scales }) {
      const width = scales.x.width / days.length;
      ctx.save();
      ctx.fillStyle = hatch();
      days.forEach((day, at) => {
        if (!known.get(day)?.whole) {
          ctx.fillRect(scales.x.left + at * width, chartArea.top, width, chartArea.height);
        }
      });
      ctx.restore();
    },
  };
}

// The series and the others, each with its name and colour.
export function coloured(answer) {
  const all = answer.series.map((one, at) => ({ ...one, name: nameOf(one, answer.by), colour: `c${at % COLOURS}` }));
  if (answer.others) all.push({ ...answer.others, name: plural(answer.others.values, "other"), colour: `c${COLOURS - 1}` });
  return all;
}

function options(days, known, unfinished) {
  const text = colour("soft");
  const line = { grid: { color: colour("line") }, ticks: { color: text } };
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    normalized: true,
    events: ["mousemove", "mouseout", "click", "touchstart", "touchmove"],
    interaction: { mode: "index", intersect: false },
    scales: {
      x: { ...line, stacked: true, grid: { display: false }, ticks: { color: text, maxRotation: 0, autoSkipPadding: 12 } },
      y: { ...line, stacked: true, beginAtZero: true, title: { display: true, text: "hours", color: text }, suggestedMax: 0.001 },
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        filter: (item) => item.raw > 0,
        itemSort: (a, b) => b.raw - a.raw,
        callbacks: {
          label: (item) => `${item.dataset.label}: ${hours(item.raw)} h`,
          footer: (items) => {
            const day = items[0]?.label;
            const sum = items.reduce((all, item) => all + item.raw, 0);
            const lines = day ? [`together ${told(sum, known.get(day)?.whole)} h`] : [];
            if (day && !known.get(day)?.whole) lines.push("not all of this day is known");
            if (day === unfinished) lines.push("today so far");
            return lines;
          },
        },
      },
    },
  };
}

export function draw(canvas, key, answer, days, known, today) {
  const all = coloured(answer);
  const datasets = all.map((one) => ({
    label: one.name,
    data: one.hours,
    backgroundColor: colour(one.colour),
    barPercentage: 1,
    categoryPercentage: days.length > 100 ? 1 : 0.85,
  }));
  chart?.destroy();
  chart = new Chart(canvas, {
    type: "bar",
    data: { labels: days, datasets },
    options: options(days, known, today),
    plugins: [bands(days, known)],
  });
  const dark = days.filter((day) => !known.get(day)?.whole).length;
  canvas.ariaLabel =
    `Hours by day from ${days[0]} to ${days.at(-1)}, ${big(answer.totals.duration_hrs)} in all` +
    (dark ? `; not all is known of ${plural(dark, "day")}` : "") + ". The table below has the figures.";
  const keys = all.map((one) =>
    make("span", { className: "key" }, make("i", { style: { background: `var(--${one.colour})` } }), one.name),
  );
  if (dark) keys.push(make("span", { className: "key" }, make("i", { className: "unknown" }), "not all is known"));
  show(key, ...keys);
}
