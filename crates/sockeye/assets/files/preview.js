// A look at a file without leaving the folder.
import { $, make, toClipboard } from '../page/browser.js';
import { size as written, t } from '../page/words.js';
import { digests, headers, link } from './server.js';

/** As much of a text as is shown. */
const TEXT = 256 * 1024;

const KINDS = [
  ['img', /\.(avif|bmp|gif|ico|jpe?g|png|svg|webp)$/i],
  ['video', /\.(m4v|mov|mp4|ogv|webm)$/i],
  ['audio', /\.(aac|flac|m4a|mp3|oga|ogg|opus|wav)$/i],
  ['pre', /\.(bash|c|cc|cfg|conf|cpp|css|csv|go|h|hpp|html?|ini|java|js|json|jsonl|log|md|mjs|py|rb|rs|sh|sql|toml|ts|tsv|tsx|txt|xml|ya?ml)$/i],
];

const kind = (name) => KINDS.find(([, names]) => names.test(name))?.[0];

/** Whether there is something to see. */
export const canShow = (entry) => entry.kind === 'file' && kind(entry.name) !== undefined;

export function look(entry, path) {
  $('look-name').textContent = entry.name;
  Object.assign($('look-save'), { href: link(path, 'download'), download: entry.name });
  $('hashes').hidden = true;
  $('look-hash').onclick = () => hash(path);
  $('content').replaceChildren(content(entry, path));
  $('look').showModal();
}

/** Sound that nobody sees any more should not be heard. */
export const leave = () => $('content').replaceChildren();

function content(entry, path) {
  const element = kind(entry.name);
  if (element === 'img') return make('img', '', { src: link(path), alt: entry.name });
  if (element === 'video' || element === 'audio') return make(element, '', { src: link(path), controls: true });
  if (element !== 'pre') return make('p', t('noPreview'));
  const box = make('div');
  show(entry, path, box);
  return box;
}

async function show(entry, path, box) {
  const part = entry.size > TEXT ? { range: `bytes=0-${TEXT - 1}` } : {};
  const response = await fetch(path, { headers: headers(part) });
  const bytes = await response.arrayBuffer();
  const declared = /charset=([^;]+)/i.exec(response.headers.get('content-type') ?? '')?.[1] ?? 'utf-8';
  const text = make('pre', new TextDecoder(declared).decode(bytes), { tabIndex: 0 });
  const note = entry.size > TEXT ? [make('p', t('firstOf', { n: written(TEXT), size: written(entry.size) }))] : [];
  box.replaceChildren(...note, text);
}

async function hash(path) {
  const list = $('hashes');
  list.hidden = false;
  list.replaceChildren(make('dt', '…'), make('dd', t('hashing')));
  const all = await digests(path);
  list.replaceChildren(...all.flatMap(([name, hex]) => {
    const copy = make('button', t('copy'), { type: 'button' });
    copy.onclick = () => toClipboard(hex, copy);
    const value = make('dd', `${hex} `);
    value.append(copy);
    return [make('dt', name), value];
  }));
}
