// The rows of a folder: sorted, searched, and drawn as far as they are looked at.
import { $, make } from '../page/browser.js';
import { count, size, t } from '../page/words.js';
import { canShow, look } from './preview.js';
import { link } from './server.js';

/** Rows that are drawn at a time. */
const ROWS = 300;

const FOLDER = 'M2 5h5l2 2h9v9H2z';
const FILE = 'M5 2h7l4 4v12H5zM12 2v4h4';
const SVG = 'http://www.w3.org/2000/svg';

export class List {
  #entries = [];
  #shown = [];
  #drawn = 0;
  sort = { key: 'name', down: false };

  /** `open(href)` goes into a folder. */
  constructor(open) {
    this.open = open;
    new IntersectionObserver(([seen]) => { if (seen.isIntersecting) this.#draw(); }, { rootMargin: '600px' }).observe($('more'));
  }

  /** `folder`: what the server says of one. */
  use(folder, path) {
    Object.assign(this, { folder, path });
    this.#entries = folder.entries;
    this.show();
  }

  sortBy(key) {
    this.sort = { key, down: this.sort.key === key ? !this.sort.down : key !== 'name' };
    this.show();
  }

  show() {
    const what = $('search').value.trim().toLocaleLowerCase();
    const found = this.#entries.filter(({ name }) => name.toLocaleLowerCase().includes(what));
    this.#shown = found.sort(this.#order());
    $('count').textContent = what ? t('found', { n: count(found.length), all: count(this.#entries.length) })
      : t('count', { n: count(found.length) });
    const { key, down } = this.sort;
    for (const head of document.querySelectorAll('th[data-key]')) {
      head.ariaSort = head.dataset.key !== key ? 'none' : down ? 'descending' : 'ascending';
    }
    $('empty').hidden = found.length > 0;
    $('empty').textContent = what ? t('nothingFound', { what }) : t(this.folder?.write ? 'emptyWrite' : 'emptyFolder');
    $('more').textContent = this.folder?.more ? t('cut') : '';
    $('rows').replaceChildren();
    this.#drawn = 0;
    this.#draw();
  }

  /** Moves from row to row. */
  step(by) {
    const links = [...$('rows').querySelectorAll('td:first-child a')];
    const at = links.indexOf(document.activeElement);
    const next = links[Math.min(links.length - 1, Math.max(0, at + by))];
    next?.focus();
  }

  /** The entry of the row that has the focus. */
  get current() {
    const row = document.activeElement?.closest('tbody tr');
    return row ? this.#shown[row.rowIndex - 1] : undefined;
  }

  preview(entry) {
    if (entry && canShow(entry)) look(entry, this.path + entry.href);
  }

  #order() {
    const { key, down } = this.sort;
    const names = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
    const sign = down ? -1 : 1;
    return (a, b) => (a.kind === b.kind ? 0 : a.kind === 'folder' ? -1 : 1)
      || sign * (key === 'name' ? 0 : a[key] - b[key])
      || (key === 'name' ? sign : 1) * names.compare(a.name, b.name);
  }

  #draw() {
    const next = this.#shown.slice(this.#drawn, this.#drawn + ROWS);
    this.#drawn += next.length;
    $('rows').append(...next.map((entry) => this.#row(entry)));
  }

  #row(entry) {
    const row = make('tr', '', { className: entry.kind });
    const isFolder = entry.kind === 'folder';
    const path = this.path + entry.href;
    const name = make('a', '', { href: link(path) });
    name.append(make('bdi', entry.name), isFolder ? '/' : '');
    name.onclick = (event) => {
      const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
      if (!plain || !(isFolder || canShow(entry))) return;
      event.preventDefault();
      if (isFolder) this.open(path);
      else look(entry, path);
    };
    const first = make('td');
    first.append(icon(isFolder ? FOLDER : FILE), name);
    const time = make('time', new Date(entry.modified * 1_000).toLocaleString(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' }));
    time.dateTime = new Date(entry.modified * 1_000).toISOString();
    const when = make('td');
    when.append(time);
    const last = make('td');
    if (!isFolder) {
      const save = make('a', '⤓', { href: link(path, 'download'), download: entry.name, title: t('download') });
      save.ariaLabel = t('downloadOf', { name: entry.name });
      last.append(save);
    }
    row.append(first, make('td', isFolder ? '' : size(entry.size), { title: isFolder ? '' : `${count(entry.size)} B` }), when, last);
    return row;
  }
}

function icon(shape) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', shape);
  svg.append(path);
  return svg;
}
