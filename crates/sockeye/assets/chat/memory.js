// What outlives a visit: who one is and where, for this browser; conversations of two and what is on its way, for this tab.
import { remember, remembered } from '../page/browser.js';

/** Lines of a conversation of two that are kept. */
const DIRECT = 300;

/** `{who, read, direct, pending}` as they were left. */
export const recalled = () => ({
  who: remembered(localStorage, 'chat.who', null),
  read: remembered(localStorage, 'chat.rooms', {}),
  direct: remembered(sessionStorage, 'chat.direct', []),
  pending: remembered(sessionStorage, 'chat.pending', []),
});

/** The name and the token that make one the same person next time. */
export const keepWho = (who) => remember(localStorage, 'chat.who', who);

export function keepRooms(all) {
  const rooms = all.filter((room) => !room.isDirect && !room.left);
  remember(localStorage, 'chat.rooms', Object.fromEntries(rooms.map((room) => [room.name, room.read])));
  const lines = (items) => items.filter((item) => item.from !== undefined).slice(-DIRECT).map(bare);
  const direct = all.filter((room) => room.isDirect).map(({ name, items }) => ({ name, items: lines(items) }));
  remember(sessionStorage, 'chat.direct', direct);
  remember(sessionStorage, 'chat.pending', all.flatMap((room) => room.pending.map(bare)));
}

/** A line without what is on the screen. */
const bare = ({ node, day, ...line }) => line;
