// What the browser is asked for: elements, storage, the clipboard, files.
import { t } from './words.js';

export const $ = (id) => document.getElementById(id);

export const make = (name, text = '', more = {}) => Object.assign(document.createElement(name), { textContent: text }, more);

export function remembered(storage, name, otherwise) {
  try {
    return JSON.parse(storage.getItem(`sockeye.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(storage, name, value) {
  try {
    storage.setItem(`sockeye.${name}`, JSON.stringify(value));
  } catch { /* full, or not allowed: it is a comfort only */ }
}

/** Copies, and says so on the button for a moment. */
export async function toClipboard(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain http, other hosts than localhost have only the old way.
    const area = make('textarea', text);
    button.after(area);
    area.select();
    document.execCommand('copy');
    area.remove();
    button.focus();
  }
  const { textContent } = button;
  button.textContent = t('copied');
  setTimeout(() => { if (button.textContent === t('copied')) button.textContent = textContent; }, 1_200);
}

export function download(ending, text) {
  const href = URL.createObjectURL(new Blob([text], { type: 'text/plain;charset=utf-8' }));
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  make('a', '', { href, download: `sockeye-${location.host.replaceAll(':', '-')}-${time}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
