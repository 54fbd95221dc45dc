// Elements and tables. Text goes in as text nodes only: names come from clients' events.

export const $ = (id) => document.getElementById(id);

export function make(tag, { style = {}, ...given } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  Object.assign(element.style, style);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

export const show = (element, ...children) => element.replaceChildren(...children.filter(Boolean));

// `columns`: [heading, class] each; the first cell of a row is its heading.
export function table(caption, columns, rows) {
  const cell = (tag, value, name, scope) => make(tag, { className: name ?? "", ...(scope && { scope }) }, value ?? "");
  const head = make("tr", {}, ...columns.map(([text, name]) => cell("th", text, name, "col")));
  const body = rows.map((row) =>
    make("tr", {}, ...row.map((value, at) => cell(at ? "td" : "th", value, columns[at][1], at ? "" : "row"))),
  );
  return make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
}

export const tag = (text, kind = "") => make("span", { className: `tag ${kind}` }, text);
export const colour = (number) => getComputedStyle(document.documentElement).getPropertyValue(`--${number}`).trim();
