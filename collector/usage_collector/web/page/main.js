// The page: what is asked for, when, and where the answers go.

import { download, get, token } from "./api.js";
import { $, make, show, table } from "./dom.js";
import * as figures from "./figures.js";
import * as plot from "./plot.js";
import * as sections from "./sections.js";

const LISTS = { zone: "zones", customer: "customers", format: "formats", language: "languages" };
const BY = [...Object.keys(LISTS), "mode", "operating_point"];
const LONGEST = 400;
const REFRESH = 60_000;
const shown = { since: "", until: "", by: "zone", answers: null, asked: 0 };
const today = () => new Date().toISOString().slice(0, 10);

function failed(element, error) {
  show(element, make("p", { className: "told bad" }, `This cannot be shown: ${error.message}`));
}

// Asks for everything at once; what fails is told in its place.
async function ask() {
  // One question tells whether a token is needed; the others would only be refused as well.
  if (!token.get()) await get("v1/limits");
  const days = { since: shown.since, until: shown.until };
  const series = [...new Set([...Object.keys(LISTS), shown.by])];
  const questions = {
    coverage: get("v1/coverage", days),
    limits: get("v1/limits"),
    collectors: get("v1/collectors"),
    latest: get("v1/usage/latest", { count: 20 }),
  };
  for (const by of series) questions[by] = get("v1/usage/series", { ...days, by, top: 20 });
  const settled = await Promise.allSettled(Object.values(questions));
  return Object.fromEntries(Object.keys(questions).map((name, at) => [name, settled[at]]));
}

async function load({ unasked = false } = {}) {
  const asked = ++shown.asked;
  // Screen readers need not hear of it every minute.
  $("state").ariaLive = unasked ? "off" : "polite";
  $("state").textContent = "Loading …";
  const answers = await ask().catch((error) => ({ all: { status: "rejected", reason: error } }));
  // Somebody asked for other days meanwhile.
  if (asked !== shown.asked) return;
  const refused = Object.values(answers).find((one) => [401, 403].includes(one.reason?.status));
  if (refused) return signIn(refused.reason);
  if (answers.all) {
    $("state").textContent = `Nothing could be loaded: ${answers.all.reason.message}`;
    $("refresh").hidden = false;
    return;
  }
  shown.answers = answers;
  $("login").hidden = true;
  $("content").hidden = false;
  $("refresh").hidden = false;
  $("leave").hidden = !token.get();
  render();
  const away = Object.values(answers).some((one) => one.status === "rejected");
  const time = new Date().toISOString().slice(11, 19);
  $("state").textContent = away ? `Not everything could be loaded at ${time} UTC.` : `As of ${time} UTC.`;
}

function fill(id, answer, draw) {
  if (answer.status === "rejected") failed($(id), answer.reason);
  else show($(id), ...draw(answer.value));
}

function render() {
  const { answers, by } = shown;
  const lines = answers.coverage.value?.days ?? null;
  const known = figures.known(lines ?? []);
  const days = lines !== null && [...known.values()].every((day) => day.whole);
  const missing = new Map();
  for (const [name, { value }] of Object.entries(answers)) {
    // Months and backups say in their own place what is missing.
    if (name === "collectors") continue;
    for (const one of value?.partial ?? []) missing.set(JSON.stringify(one), one);
  }
  const lacking = (name) => Boolean(answers[name].value?.partial?.length);
  const whole = (name) => days && !lacking(name);
  const told = sections.partial([...missing.values()]);
  if ((told[0]?.textContent ?? "") !== $("partial").textContent) show($("partial"), ...told);
  const drawn = answers[by].status === "fulfilled";
  for (const id of ["figure", "days"]) $(id).hidden = !drawn;
  if (!drawn) failed($("cards"), answers[by].reason);
  else main(figures.folded(answers[by].value, plot.MOST), known, whole(by), lines);
  for (const [name, id] of Object.entries(LISTS)) fill(id, answers[name], (value) => sections.totals(value, name, whole(name)));
  fill("quotas", answers.limits, (value) => sections.quotas(value.limits, lacking("limits")));
  fill("coverage", answers.coverage, (value) => sections.coverage(value.days));
  fill("months", answers.collectors, sections.months);
  fill("next", answers.collectors, (value) => sections.next(value, new Date().toISOString()));
  fill("backups", answers.collectors, sections.backups);
  fill("latest", answers.latest, (value) => sections.latest(value.latest, lacking("latest")));
}

function main(answer, known, whole, lines) {
  const days = figures.daysOf(answer);
  show($("cards"), ...sections.cards(answer.totals, today(), lines, whole));
  plot.draw($("plot"), $("key"), answer, days, known, today());
  $("empty").hidden = answer.totals.count > 0;
  $("empty").classList.toggle("bad", !whole);
  $("empty").textContent = whole
    ? "Nothing was used in these days: every collector answers, and everything received is counted."
    : "Nothing is known to have been used in these days, but not all is known.";
  const details = $("days");
  const fillTable = () => details.open && show(details.lastElementChild, dayTable(answer, days, known));
  details.ontoggle = fillTable;
  fillTable();
}

function dayTable(answer, days, known) {
  const all = plot.coloured(answer);
  const [sums, counts] = ["hours", "counts"].map((name) => figures.perDay(answer, name));
  const whole = (day, one) => {
    const zone = answer.by === "zone" && known.get(day)?.zones.get(one.value);
    return zone ? zone.coverage === 1 : known.get(day)?.whole;
  };
  const rows = days.map((day, at) => [
    day === today() ? `${day} so far` : day,
    figures.told(sums[at], known.get(day)?.whole),
    figures.told(counts[at], known.get(day)?.whole, figures.count),
    ...all.map((one) => figures.told(one.hours[at], whole(day, one))),
  ]);
  const columns = [["day", ""], ["hours", "n"], ["number", "n"], ...all.map((one) => [one.name, "n"])];
  return table(`Hours by day and ${answer.by.replace("_", " ")}, the newest first`, columns, rows.reverse());
}

function signIn(error) {
  const given = Boolean(token.get());
  token.forget();
  shown.answers = null;
  $("content").hidden = true;
  $("refresh").hidden = true;
  $("leave").hidden = true;
  $("login").hidden = false;
  $("state").textContent = "";
  $("wrong").textContent = given ? `Not signed in: ${error.message}` : "";
  $("token").value = "";
  $("token").focus();
}

// Days and grouping stand in the address, so that it can be kept, sent and gone back to.
function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const date = (name) => (Number.isNaN(Date.parse(given.get(name))) ? "" : given.get(name));
  shown.until = date("until") || today();
  shown.since = date("since") || figures.dayAfter(shown.until, -29);
  shown.by = BY.includes(given.get("by")) ? given.get("by") : "zone";
  $("since").value = shown.since;
  $("until").value = shown.until;
  $("by").value = shown.by;
  const preset = figures.presets(today()).find(([, since, until]) => since === shown.since && until === shown.until);
  $("preset").value = preset?.[0] ?? "chosen";
}

function go(changes) {
  const { since, until, by } = { ...shown, ...changes };
  location.hash = new URLSearchParams({ since, until, by });
}

function choose(event) {
  event.preventDefault();
  const [since, until] = [$("since").value, $("until").value];
  const days = figures.daysBetween(since, until);
  const wrong = days < 1 ? "The first day is after the last." : days > LONGEST ? `At most ${LONGEST} days can be shown.` : "";
  $("until").setCustomValidity(wrong);
  if ($("window").reportValidity()) go({ since, until });
}

function start() {
  const names = [...figures.presets(today()).map(([name]) => name), "chosen"];
  show($("preset"), ...names.map((name) => make("option", { value: name }, name)));
  show($("by"), ...BY.map((name) => make("option", { value: name }, name.replace("_", " "))));
  $("preset").onchange = () => {
    const found = figures.presets(today()).find(([name]) => name === $("preset").value);
    if (found) go({ since: found[1], until: found[2] });
  };
  $("by").onchange = () => go({ by: $("by").value });
  $("window").onsubmit = choose;
  for (const id of ["since", "until"]) $(id).oninput = () => $("until").setCustomValidity("");
  $("refresh").onclick = () => load();
  $("leave").onclick = () => {
    token.forget();
    load();
  };
  $("login").onsubmit = (event) => {
    event.preventDefault();
    token.set($("token").value.trim());
    load();
  };
  $("csv").onclick = () => {
    const { since, until, by } = shown;
    const query = { since, until, group_by: `day,${by}`, format: "csv" };
    download("v2/usage", query, `usage-${since}-${until}-${by}`).catch((error) => ($("state").textContent = `No CSV: ${error.message}`));
  };
  addEventListener("hashchange", () => {
    read();
    load();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown.answers && render());
  setInterval(() => {
    if (document.visibilityState !== "visible" || !shown.answers) return;
    // A new day has begun, and nobody chose which days to show.
    if (!location.hash && shown.until !== today()) read();
    load({ unasked: true });
  }, REFRESH);
  read();
  load();
}

start();
