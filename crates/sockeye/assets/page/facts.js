// What is known of the connection and of the server, kept up to date.
import { $, make, toClipboard } from './browser.js';
import { printable } from './text.js';
import { clock, count, meaning, size, t } from './words.js';

/** What carries a connection, by name. */
export const OVER = { ws: 'WebSocket', wt: 'WebTransport' };

export class Facts {
  /** Counters a second ago. */
  #before = {};
  #rate = '';

  constructor(state, link) {
    Object.assign(this, { state, link });
    setInterval(() => this.#second(), 1_000);
  }

  /** How a connection ended, in words. */
  ending({ meaning: what, code, reason }) {
    return `${meaning(what)}${what && code !== undefined ? ` (${code})` : ''}${reason ? `: ${printable(reason)}` : ''}`;
  }

  show() {
    const { state: { facts }, link } = this;
    const state = t(link.state, { n: link.left });
    document.body.dataset.state = link.state;
    put($('state-text'), state);
    put($('connect'), t(link.state === 'open' || link.state === 'connecting' ? 'disconnect' : 'connect'));
    $('connect').disabled = link.state === 'closing';
    put($('service'), facts.service ?? '');
    document.title = [facts.service, location.host, 'sockeye'].filter(Boolean).join(' · ');
    list($('session'), this.#session(state));
    list($('server'), this.#server());
    if ($('ways').childElementCount !== (facts.ways ?? []).length) this.#ways(facts.ways);
  }

  #session(state) {
    const { link, link: { counters } } = this;
    const traffic = ({ n, bytes }) => t('traffic', { n: count(n), size: size(bytes) });
    return {
      state,
      ending: link.ending && this.ending(link.ending),
      url: link.carrier?.url.replace(/\?.*/, ''),
      stack: link.carrier && this.#stack(link.carrier.over),
      subprotocol: link.carrier?.protocol,
      since: link.state === 'open' && clock(link.since).slice(0, 8),
      in: traffic(counters.in),
      out: traffic(counters.out),
      rate: this.#rate,
      queued: link.queued && size(link.queued),
    };
  }

  #stack(over) {
    if (over === 'wt') return `${OVER.wt} · HTTP/3 · QUIC · UDP`;
    return `${OVER.ws}${location.protocol === 'https:' ? ' · TLS' : ''} · TCP`;
  }

  #server() {
    const { service, version, local, peer, protocol, tls } = this.state.facts;
    return {
      service: service && `${service}${version ? ` (sockeye ${version})` : ''}`,
      local,
      peer,
      page: protocol,
      tls: protocol && (tls ? [tls.version, tls.cipher, tls.alpn].filter(Boolean).join(' · ') : t('none')),
    };
  }

  #second() {
    const { in: { n: nIn, bytes: bIn }, out: { n: nOut, bytes: bOut } } = this.link.counters;
    const was = this.#before;
    this.#before = { nIn, nOut, bIn, bOut };
    const way = (arrow, n, bytes) => `${arrow} ${count(n)}/s · ${size(bytes)}/s`;
    this.#rate = was.bIn === undefined ? '' : `${way('←', nIn - was.nIn, bIn - was.bIn)}\n${way('→', nOut - was.nOut, bOut - was.bOut)}`;
    this.show();
  }

  #ways(ways = []) {
    $('ways').replaceChildren(...ways.map((way) => {
      const item = make('li');
      const copy = make('button', t('copy'), { type: 'button', onclick: () => toClipboard(way, copy) });
      copy.dataset.t = 'copy';
      item.append(make('code', printable(way)), copy);
      return item;
    }));
  }
}

/** Writes only what is new: what is selected stays so. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function list(dl, facts) {
  for (const [key, value] of Object.entries(facts)) {
    let dd = dl.querySelector(`[data-key=${key}]`);
    if (!dd) {
      dd = make('dd');
      dd.dataset.key = key;
      dl.append(make('dt'), dd);
    }
    dd.hidden = dd.previousSibling.hidden = !value;
    put(dd.previousSibling, t(key));
    put(dd, value ? printable(String(value)) : '');
  }
}
