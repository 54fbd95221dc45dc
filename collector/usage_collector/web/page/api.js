// Asking the collector, with the token that was given in this tab.
//
// The token is sent as a header that only this script adds: unlike a cookie it is never sent along
// by itself, so no other site can make use of it. It is gone when the tab is closed.

const KEY = "usage-token";
const TRIES = 8;

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function ask(path, parameters) {
  const query = new URLSearchParams(parameters).toString();
  const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path + (query && `?${query}`), { headers, cache: "no-store" });
    if (answer.ok) return answer;
    // Too many requests, or no service for now: the collector says when to ask again.
    const wait = Number(answer.headers.get("Retry-After"));
    if (![429, 503].includes(answer.status) || tries === TRIES) {
      const said = await answer.json().catch(() => ({}));
      throw new Refused(answer.status, said.detail ?? `${answer.status} ${answer.statusText}`);
    }
    await pause(Math.min(wait || 1, 10));
  }
}

export const get = async (path, parameters = {}) => (await ask(path, parameters)).json();

// The file's name says so where collectors are missing from it.
export async function download(path, parameters, name) {
  const answer = await ask(path, parameters);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `${name}${answer.headers.has("Usage-Partial") ? "-partial" : ""}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
