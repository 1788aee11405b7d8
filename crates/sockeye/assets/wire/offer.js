// Offers a look at the wire where the server shows it. The view itself is fetched when somebody wants to look.
import { $ } from '../page/browser.js';

let view;

/** `facts`: what the server has told of itself. */
export const offerWire = (facts) => { $('wire-open').hidden = !facts.trace; };

export async function toggleWire() {
  if ($('wire-open').hidden) return;
  try {
    view ??= import('./view.js');
    $('wire-open').ariaExpanded = String((await view).toggle());
  } catch {
    // The server has gone: what it did not give can be asked for again.
    view = undefined;
  }
}

$('wire-open').addEventListener('click', toggleWire);
