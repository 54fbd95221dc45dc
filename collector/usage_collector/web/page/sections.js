// The parts of the page below the plot: each a function from answers to elements.

import { make, table, tag } from "./dom.js";
import { UNKNOWN, big, count, duration, hours, minute, nameOf, percent, plural, problems, runs, told } from "./figures.js";

const soft = (text) => make("p", { className: "soft" }, text);
const card = (figure, text) => make("div", { className: "card" }, make("b", {}, figure), text);

export function partial(lines) {
  if (!lines.length) return [];
  // That nobody was there before the first one began is no trouble that anybody could mend.
  const before = lines.every((one) => !one.as_of && one.until);
  const items = lines.map((one) => make("li", {}, make("b", {}, one.collector), `: ${one.reason}; ${knownOf(one)}`));
  const text = "Not everything is known. The figures below are what is; there may be more.";
  return [make("div", { className: before ? "told" : "told bad" }, make("strong", {}, text), make("ul", {}, ...items))];
}

function knownOf({ as_of: since, until }) {
  if (!since && until) return `known from ${minute(until)} UTC on`;
  const again = until ? `, and from ${minute(until)} UTC on` : "";
  return `known up to ${since ? `${minute(since)} UTC` : "a time that nobody knows"}${again}`;
}

export function cards(totals, today, coverage, whole) {
  const lines = coverage ?? [];
  const share = lines.reduce((sum, line) => sum + line.coverage, 0) / (lines.length || 1);
  const now = lines.filter((line) => line.day === today);
  const jobs = now.reduce((sum, line) => sum + (line.count ?? 0), 0);
  const complete = now.length > 0 && now.every((line) => line.coverage === 1);
  const found = [
    card(told(totals.duration_hrs, whole, big), "hours"),
    card(told(totals.count, whole, count), "jobs and sessions, each counted once"),
    card(told(totals.estimated_count, whole, count), `of them estimated${totals.estimated_count ? `: ${hours(totals.estimated_hrs)} hours` : ""}`),
    card(coverage ? percent(lines.every((line) => line.coverage === 1) ? 1 : Math.min(share, 0.999)) : UNKNOWN, "of this time is known"),
  ];
  if (now.length) found.splice(2, 0, card(told(jobs, complete, count), "today so far"));
  return found;
}

export function totals(answer, heading, whole) {
  const all = [...answer.series, ...(answer.others ? [answer.others] : [])];
  if (!all.length) return [soft(whole ? "Nothing was used." : "Nothing is known to have been used, but not all is known.")];
  const most = Math.max(...all.map((one) => one.duration_hrs)) || 1;
  const rows = all.map((one) => [
    one.values ? plural(one.values, "other") : named(one, answer.by),
    count(one.count),
    hours(one.duration_hrs),
    make("span", { className: "bar", style: { width: `${(100 * one.duration_hrs) / most}%` } }),
  ]);
  const columns = [[heading, ""], ["number", "n"], ["hours", "n"], ["", "w"]];
  return [table(whole ? "" : "at least; not all is known", columns, rows)];
}

function named(one, by) {
  const cell = make("span", {}, nameOf(one, by));
  if (by === "customer" && !one.known && one.value) cell.append(" ", tag("not registered", "warn"));
  if (by === "format" && one.value === "other") cell.append(" ", tag("unknown format", "warn"));
  return cell;
}

export function quotas(lines, lacking) {
  if (!lines.length) return [soft("No customer has a quota. PUT /v1/customers/ID gives one a plan, monthly_hours or concurrent_sessions.")];
  return lines.map((one) => quota(one, lacking));
}

function quota(one, lacking) {
  const { used_hrs: used, quota_hrs: limit, forecast } = one;
  const least = lacking ? "at least " : "";
  const text = limit === null ? `${least}${hours(used)} h, no limit of hours` : `${least}${hours(used)} of ${count(limit)} h${limit ? ` (${percent(used / limit)})` : ""}`;
  const expected = forecast
    ? `${lacking ? "Without what is not known: " : ""}${hours(forecast.hours)} h expected by the end of ${one.month}: ${hours(forecast.low)} to ${hours(forecast.high)} h in 4 of 5 such months`
    : `Too little is known for a forecast of ${one.month}`;
  const sessions = `${plural(one.sessions, "session")} now${one.quota_sessions === null ? "" : ` of ${count(one.quota_sessions)} at once`}`;
  const top = Math.max(used, limit ?? 0, forecast?.high ?? 0) * 1.02 || 1;
  const at = (value) => `${(100 * value) / top}%`;
  const kind = limit === null ? "" : used > 0 && used >= limit ? "bad" : one.reached > 0 ? "warn" : "";
  const track = make("div", { className: "track", role: "img", ariaLabel: `${text}. ${expected}.` });
  track.append(make("span", { className: `used ${kind}`, style: { width: at(used) } }));
  if (forecast) track.append(make("span", { className: "band", style: { left: at(forecast.low), width: at(Math.max(forecast.high - forecast.low, top / 300)) } }));
  if (limit !== null) track.append(make("span", { className: "limit", style: { left: at(limit) } }));
  const over = one.quota_sessions !== null && one.sessions > one.quota_sessions;
  return make("div", { className: "quota" },
    make("div", { className: "line" }, make("b", {}, one.name), make("span", {}, text, kind ? " " : "", kind ? tag(kind === "bad" ? "used up" : `${percent(one.reached)} reached`, kind) : "")),
    track,
    make("div", { className: "line soft" }, make("span", {}, `${expected}.`), make("span", {}, sessions, over ? " " : "", over ? tag("too many", "bad") : "")),
  );
}

export function coverage(lines) {
  const strips = [...byZone(lines)].map(([zone, days]) => {
    const share = days.reduce((sum, day) => sum + day.coverage, 0) / days.length;
    const text = percent(days.every((day) => day.coverage === 1) ? 1 : Math.min(share, 0.999));
    const pieces = runs(days).map((run) =>
      make("span", {
        className: run.share === 1 ? "known" : "unknown",
        style: { flexGrow: run.days },
        title: `${run.since}${run.days > 1 ? ` to ${run.until}` : ""}: ${percent(run.share)} known`,
      }),
    );
    const strip = make("div", { className: "strip", role: "img", ariaLabel: `${zone || "no zone"}: ${text} of these days is known` }, ...pieces);
    return make("div", { className: "zone" }, make("span", {}, zone || "no zone"), strip, make("span", { className: "n" }, text));
  });
  return [...strips, ...remarks(lines)];
}

function byZone(lines) {
  const zones = new Map();
  for (const line of lines) zones.set(line.zone, [...(zones.get(line.zone) ?? []), line]);
  return zones;
}

function remarks(lines) {
  const found = [];
  const all = problems(lines);
  if (all.length) {
    const columns = [["collector", ""], ["zone", ""], ["what", ""], ["from (UTC)", ""], ["to (UTC)", ""]];
    const rows = all.map((one) => [one.collector, one.zone, one.reason, minute(one.since) || UNKNOWN, minute(one.until) || "now"]);
    found.push(make("div", { className: "scroll problems", tabIndex: 0, role: "region", ariaLabel: "What is not known" }, table("What is not known", columns, rows)));
  } else {
    found.push(soft("All collectors answer, and everything they received in these days is counted."));
  }
  const silent = lines.reduce((sum, line) => sum + line.silent_sessions, 0);
  const early = lines.reduce((sum, line) => sum + line.early_events, 0);
  if (silent) found.push(soft(`${plural(silent, "session")} stopped talking before the end; their length is estimated from the last status.`));
  if (early) found.push(soft(`${plural(early, "event")} came from the future: a clock is wrong.`));
  return found;
}

// Which collectors did not say how it stands there, and why: none of the lists below has theirs.
function silent(partial = []) {
  return partial.map((one) => make("p", { className: "told bad" }, make("b", {}, one.collector), ` is not in this list: ${one.reason}`));
}

export function months({ collectors, months, partial = [] }) {
  const rows = months.map((one) => [
    one.period,
    minute(one.cut_at),
    count(one.count),
    make("span", {}, ...whereabouts(one)),
  ]);
  const waiting = collectors.reduce((sum, one) => sum + one.unreported, 0);
  const least = partial.length ? "at least; not all is known" : "";
  const found = rows.length
    ? [table(least, [["month", ""], ["cut at (UTC)", ""], ["events", "n"], ["destinations", ""]], rows)]
    : [soft(partial.length ? "No month is known to have been cut; not all is known." : "No month was cut yet.")];
  const more = `${partial.length ? "At least " : ""}${plural(waiting, "event")} ${waiting === 1 ? "is" : "are"} in no month yet, and will be in the next.`;
  return [...silent(partial), ...found, soft(more)];
}

function whereabouts({ destinations, not_cut: late, lost }) {
  const places = destinations.length ? destinations.map(destination) : [tag("not delivered yet", "warn")];
  const all = [...places, ...late.map((name) => tag(`not cut at ${name}`, "bad")), ...lost.map((name) => tag(`${name} lost what it had of it`, "warn"))];
  return all.flatMap((one, at) => (at ? [make("br"), one] : [one]));
}

function destination({ by, state, at, lacking }) {
  const lacks = lacking.map((one) => tag(one.files === null ? `has nothing of ${one.collector}` : `waits for ${plural(one.files, "file")} of ${one.collector}`, "bad"));
  const parts = lacks.length ? lacks : [tag(state, state === "exported" ? "warn" : "good")];
  return make("span", {}, `${by} `, ...parts.flatMap((one) => [one, " "]), minute(at));
}

// Which month is due next, as the last run of the export told; a month that was sent since is not.
export function next({ export: told, months }, now) {
  const sent = months.filter(({ destinations, not_cut: late }) => {
    return destinations.length && !late.length && destinations.every((to) => to.state !== "exported" && !to.lacking.length);
  });
  if (!told || sent.some((one) => one.period >= told.period)) return [soft("When the next month is due was not told yet; the daily run of the export tells.")];
  const late = told.due <= now;
  return [make("p", {}, `${told.period} is due at ${minute(told.due)} UTC. `, late ? tag("not delivered yet", "bad") : "")];
}

export function backups({ collectors, partial }) {
  const columns = [["collector", ""], ["place", ""], ["complete (UTC)", ""], ["events since", "n"], ["proven (UTC)", ""]];
  const rows = collectors.flatMap(({ collector, backups }) =>
    backups.map((one) => [
      collector,
      one.continuous ? `${one.place}, continuous` : one.place,
      minute(one.taken),
      count(one.missing_events),
      make("span", {}, one.verified ? `${minute(one.verified)} ` : "", one.continuous ? "as it comes" : proof(one)),
    ]),
  );
  const without = collectors.filter((one) => !one.backups.length).map((one) => one.collector);
  const told = without.length ? [soft(`No backup of ${without.join(", ")} told of itself: whether there is one is not known.`)] : [];
  return [...silent(partial), ...(rows.length ? [table("", columns, rows)] : []), ...told];
}

function proof(one) {
  if (!one.verified) return tag("never", "warn");
  return one.verified_ok ? tag("all there", "good") : tag("not all there", "bad");
}

export function latest(lines, lacking) {
  if (!lines.length) return [soft(lacking ? "None are known; not all is known." : "No job and no session yet.")];
  const columns = [["time (UTC)", ""], ["customer", ""], ["zone", ""], ["what", ""], ["format, language", ""], ["length", "n"], ["", ""]];
  const rows = lines.map((one) => [
    minute(one.time),
    one.name || "–",
    one.zone || "–",
    one.mode === "batch" ? "job" : one.mode === "realtime" ? "session" : one.mode || "–",
    [one.format, one.language].filter(Boolean).join(", ") || "–",
    duration(one.seconds),
    one.warm_up ? tag("warm-up, not billed") : tag(one.state, one.state === "estimated" ? "warn" : ""),
  ]);
  return [table("", columns, rows)];
}
