// What was typed, as objects for the server: text is said, and what begins with a slash is an order.
import { t } from '../page/words.js';

/** @throws {Error} with words for the person */
export function read(text, room) {
  const lines = text.split('\n').map((line) => line.trimEnd()).filter(Boolean);
  // A text of several lines is said line by line: whoever reads with nc sees it as we do.
  return lines.flatMap((line) => one(line, room));
}

function one(line, room) {
  if (!line.startsWith('/') || line.startsWith('//')) return said('say', line.replace(/^\/\//, '/'), room);
  const [, word, rest] = /^\/(\S*)\s*(.*)$/su.exec(line);
  const command = Object.hasOwn(COMMANDS, word) && COMMANDS[word];
  if (!command) throw new Error(t('noCommand', { word }));
  return command(rest, room, word);
}

const said = (what, text, room) => (room.isDirect ? { do: 'tell', to: room.name, text } : { do: what, room: room.name, text });

function needed(value, word, what) {
  if (!value) throw new Error(t('needs', { word, what: t(what) }));
  return value;
}

function here(room) {
  if (room.isDirect) throw new Error(t('onlyRooms'));
  return room.name;
}

/** The first word, and the rest. */
const two = (text) => /^(\S*)\s*(.*)$/su.exec(text).slice(1);

const bare = (name) => name.replace(/^#/u, '');

function order(rest, room, word) {
  const [name, more] = two(rest);
  const object = { do: word, room: here(room), name: needed(name, word, 'aName') };
  if (word === 'kick' && more) object.why = more;
  if (/^(mute|ban)$/.test(word) && more) {
    object.minutes = Number(more);
    if (!(object.minutes > 0)) throw new Error(t('needs', { word, what: t('aNumber') }));
  }
  return object;
}

const COMMANDS = {
  me: (rest, room, word) => {
    needed(rest, word, 'aText');
    return room.isDirect ? said('say', `* ${rest}`, room) : said('me', rest, room);
  },
  join: (rest, _, word) => ({ do: 'join', room: bare(needed(rest, word, 'aRoom')) }),
  part: (rest, room) => ({ do: 'part', room: rest ? bare(rest) : here(room) }),
  msg: (rest, _, word) => {
    const [to, text] = two(rest);
    needed(to, word, 'aName');
    return text ? { do: 'tell', to, text } : { open: to };
  },
  name: (rest, _, word) => {
    const [name, password] = two(rest);
    return { do: 'name', name: needed(name, word, 'aName'), ...(password && { password }) };
  },
  topic: (rest, room) => (rest ? { do: 'topic', room: here(room), text: rest } : { show: 'topic' }),
  history: (rest) => ({ show: 'search', words: rest.replace(/^search\s+/u, '') }),
  who: () => ({ show: 'people' }),
  rooms: () => ({ show: 'rooms' }),
  help: () => ({ show: 'help' }),
  quit: () => ({ do: 'quit' }),
  kick: order, mute: order, unmute: order, ban: order, unban: order, owner: order,
};

/** The word before `at` made whole by one of `names`: `[text, at]`, or nothing where none or several fit. */
export function completed(text, at, names) {
  const [word] = /\S*$/u.exec(text.slice(0, at));
  const bareWord = word.replace(/^[@#]/u, '').toLowerCase();
  if (!bareWord) return undefined;
  const fits = names.filter((name) => name.toLowerCase().startsWith(bareWord));
  if (!fits.length) return undefined;
  const common = fits.length === 1 ? fits[0] : fits.reduce(shared);
  if (fits.length > 1 && common.length <= bareWord.length) return undefined;
  const sign = word.startsWith('#') ? '#' : '';
  const start = at - word.length;
  const end = fits.length > 1 ? '' : start === 0 ? ': ' : ' ';
  const whole = sign + common + end;
  return [text.slice(0, start) + whole + text.slice(at).replace(/^ /, end ? '' : ' '), start + whole.length];
}

function shared(a, b) {
  let at = 0;
  while (at < a.length && a[at].toLowerCase() === b[at]?.toLowerCase()) at += 1;
  return a.slice(0, at);
}
