// What the server is asked: paths, the token, listings.
import { remember, remembered } from '../page/browser.js';
import { KEY } from '../page/socket.js';

let token = taken();

/** The token of `#token=…` or `?token=…`, which must not stay where it can be read or shared. */
function taken() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const query = new URLSearchParams(location.search);
  const said = hash.get('token') ?? query.get('token');
  if (said === null) return remembered(sessionStorage, 'token', '');
  history.replaceState(null, '', location.pathname);
  remember(sessionStorage, 'token', said);
  return said;
}

export function useToken(said) {
  token = said;
  remember(sessionStorage, 'token', said);
}

export const headers = (more = {}) => (token ? { authorization: `Bearer ${token}`, ...more } : more);

/** `path` with `query`, as a link that a browser can follow by itself. */
export function link(path, query = '') {
  const said = token ? `token=${encodeURIComponent(token)}` : '';
  const whole = [query, said].filter(Boolean).join('&');
  return whole ? `${path}?${whole}` : path;
}

/** What is in the folder `path`. @throws {Response} what the server says instead */
export async function list(path) {
  const response = await fetch(`${path}?json`, { headers: headers(), cache: 'no-cache' });
  if (!response.ok) throw response;
  return response.json();
}

/** What the server says of itself, if it does; and it knows this connection by the page's key from now on. */
export async function facts() {
  const asking = fetch(`/.sockeye/facts.json?wire=${KEY}`, { headers: headers(), cache: 'no-store' });
  return asking.then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));
}

/** The digests of a file: `[name, hex]` each. */
export async function digests(path) {
  const want = headers({ 'want-repr-digest': 'sha-256=10, blake3=9' });
  const response = await fetch(path, { method: 'HEAD', headers: want, cache: 'no-store' });
  const said = response.headers.get('repr-digest') ?? '';
  const hex = (text) => Array.from(atob(text), (letter) => letter.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  return [...said.matchAll(/([\w-]+)=:([^:]*):/g)].map(([, name, text]) => [name, hex(text)]);
}
