// What the answers of the collector come to. Nothing here touches the page or the clock.

export const UNKNOWN = "not known";
const DAY = 86_400_000;

const exactly = new Intl.NumberFormat("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const roughly = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const hours = (value) => (value > 0 && value < 0.0005 ? "< 0.001" : exactly.format(value));
export const big = (value) => (value >= 1000 ? roughly.format(value) : hours(value));
export const count = (value) => new Intl.NumberFormat("en").format(value);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
export const minute = (time) => (time ? `${time.slice(0, 10)} ${time.slice(11, 16)}` : "");

export function percent(part) {
  // 99.96 % is not all of it.
  if (part === 1) return "100\u00a0%";
  return `${(Math.floor(part * 1000) / 10).toFixed(1)}\u00a0%`;
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${Number(seconds.toFixed(1))} s`;
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h} h ${m} min` : `${m} min ${s} s`;
}

export const dayAfter = (day, days) => new Date(Date.parse(day) + days * DAY).toISOString().slice(0, 10);
export const daysBetween = (since, until) => Math.round((Date.parse(until) - Date.parse(since)) / DAY) + 1;

export function presets(today) {
  const month = today.slice(0, 8);
  const before = dayAfter(`${month}01`, -1);
  return [
    ["last 7", dayAfter(today, -6), today],
    ["last 30", dayAfter(today, -29), today],
    ["last 90", dayAfter(today, -89), today],
    ["last 365", dayAfter(today, -364), today],
    ["this month", `${month}01`, today],
    ["last month", `${before.slice(0, 8)}01`, before],
  ];
}

// What each day is known of, over all zones: `whole` where nothing is missing, `counted` where at
// least something was counted.
export function known(coverage) {
  const days = new Map();
  for (const line of coverage) {
    const day = days.get(line.day) ?? { whole: true, zones: new Map(), share: 1 };
    day.whole &&= line.coverage === 1;
    day.share = Math.min(day.share, line.coverage);
    day.zones.set(line.zone, line);
    days.set(line.day, day);
  }
  return days;
}

// A figure of a day as people read it. `whole` is undefined where coverage itself is not known.
export function told(value, whole, text = hours) {
  if (whole) return text(value);
  return value ? `≥\u00a0${text(value)}` : UNKNOWN;
}

export function nameOf(series, by) {
  if (series.name) return series.name;
  return { customer: "no customer named", format: "format not told", language: "language not told" }[by] ?? `no ${by.replace("_", " ")}`;
}

// Only so many series, and what the rest of them come to in one more.
export function folded(answer, most) {
  if (answer.series.length <= most) return answer;
  const rest = [...answer.series.slice(most), ...(answer.others ? [answer.others] : [])];
  const sum = (name) => rest.reduce((all, one) => all + one[name], 0);
  const days = (name) => rest[0][name].map((_, at) => rest.reduce((all, one) => all + one[name][at], 0));
  const others = {
    values: rest.reduce((all, one) => all + (one.values ?? 1), 0),
    count: sum("count"),
    duration_hrs: sum("duration_hrs"),
    hours: days("hours"),
    counts: days("counts"),
  };
  return { ...answer, series: answer.series.slice(0, most), others };
}

// What all series together come to on each day.
export function perDay(answer, name) {
  const all = [...answer.series, ...(answer.others ? [answer.others] : [])];
  const length = daysBetween(answer.since, answer.until);
  return Array.from({ length }, (_, at) => all.reduce((sum, one) => sum + one[name][at], 0));
}

export const daysOf = (answer) =>
  Array.from({ length: daysBetween(answer.since, answer.until) }, (_, at) => dayAfter(answer.since, at));

// Stretches of days of which equally much is known, for one zone's strip.
export function runs(lines) {
  const found = [];
  for (const line of lines) {
    const last = found.at(-1);
    if (last && last.share === line.coverage) {
      last.days += 1;
      last.until = line.day;
    } else {
      found.push({ share: line.coverage, days: 1, since: line.day, until: line.day });
    }
  }
  return found;
}

// Each problem once, though it is told for every day that it touches.
export function problems(lines) {
  const found = new Map();
  for (const line of lines) {
    for (const one of line.problems) {
      found.set(JSON.stringify(one), { zone: line.zone, ...one });
    }
  }
  return [...found.values()];
}
