// The rooms and the person in them: what the server tells changes them, what the person does goes to the server.
import { remember, remembered } from '../page/browser.js';
import { t } from '../page/words.js';
import { read } from './commands.js';
import { Room } from './room.js';
import { Session } from './session.js';
import { names } from './show.js';

/** Lines asked for at once. */
const PAGE = 100;
/** Lines of a conversation of two that the tab keeps. */
const DIRECT = 300;

export class Chat {
  /** By `#name` and `@name`. */
  rooms = new Map();
  current = null;
  me = '';
  isGuest = true;
  keeps = null;
  /** Rooms of the server, when they were asked for. */
  others = [];
  waitsForName = false;
  #who = remembered(localStorage, 'chat.who', null);
  #read = remembered(localStorage, 'chat.rooms', {});
  #password = '';
  /** The name that the server was asked for. */
  #wanted = '';
  /** Who waits for how the name fares. */
  #naming = null;
  #saving = 0;
  /** What each event does; others answer questions, or are to be ignored. */
  #events = {
    welcome: this.#welcome, joined: this.#joined, line: this.#line, done: this.#done, refused: this.#refused, missed: this.#missed,
    renamed: this.#renamed, parted: this.#parted, told: this.#told, notice: this.#notice, named: this.#called,
    came: (object) => this.#presence('came', object), went: (object) => this.#presence('went', object),
  };

  /** @param on `changed()`, `room(room, isNews)`, `state()`, `news(room, line)`, `show(room)`, `name(error)`, `error(text)` */
  constructor(carry, on, asked) {
    Object.assign(this, { on, asked });
    this.session = new Session(carry, {
      hello: () => this.#hello(), heard: (object) => this.#heard(object), changed: () => on.state(), lost: () => this.#lost(),
    });
    const first = (asked.get('room') ?? '').replace(/^#/u, '');
    for (const name of new Set([...first ? [first] : [], ...Object.keys(this.#read), ...Object.keys(this.#read).length || first ? [] : ['lobby']])) this.#room(name);
    for (const { name, items } of remembered(sessionStorage, 'chat.direct', [])) this.#remind(name, items);
    for (const line of remembered(sessionStorage, 'chat.pending', [])) this.#place(line).pending.push(line);
    window.addEventListener('pagehide', () => this.#keep());
  }

  /** Shows the first room and connects, once there is a name or the person wants none. */
  begin() {
    this.show(this.rooms.values().next().value);
    const name = this.asked.get('name');
    if (name && name !== this.#who?.name) this.#who = { name };
    if (this.#who) return this.session.link.connect();
    this.waitsForName = true;
    this.on.name('');
  }

  /** Comes in as `name`, or as a guest; later: changes the name. Gives what is wrong with it. */
  async enterAs(name, password) {
    if (!this.session.welcomed) {
      this.#who = name ? { name } : this.#who ?? {};
      this.#password = password ?? '';
      this.waitsForName = false;
      const answer = new Promise((done) => { this.#naming = done; });
      if (this.session.link.state === 'open') this.session.greet();
      else this.session.link.connect();
      return answer;
    }
    if (!name || (name === this.me && !password)) return undefined;
    const answer = await this.session.ask({ do: 'name', name, ...(password && { password }) });
    return answer?.event === 'refused' ? answer.text : undefined;
  }

  show(room) {
    if (this.current) this.current.mark = null;
    room.mark = room.unread ? room.read : null;
    room.newRow = undefined;
    this.current = room;
    this.on.show(room);
    if (!room.isDirect) this.askWho(room);
  }

  step(by) {
    const rooms = [...this.rooms.values()].sort((a, b) => a.isDirect - b.isDirect);
    this.show(rooms[(rooms.indexOf(this.current) + by + rooms.length) % rooms.length]);
  }

  direct(name) {
    return this.#get(`@${name}`) ?? this.#add(`@${name}`, Object.assign(new Room(name, true), { read: 0 }));
  }

  async enter(name) {
    const there = this.rooms.get(`#${name}`);
    if (there?.inside) return this.show(there);
    const answer = await this.session.ask({ do: 'join', room: name, ...(there?.last && { after: there.last }) });
    if (answer?.event === 'refused') this.on.error(answer.text);
    // The server may write the name in another way.
    const room = answer?.event === 'joined' && this.rooms.get(`#${answer.room}`);
    if (room) this.show(room);
  }

  leave(room) {
    if (!room.isDirect && room.inside) return this.order({ do: 'part', room: room.name });
    return this.#forget(room);
  }

  /** What the person wrote: gives `{error}`, or `{show}` if something is to be opened. */
  write(text) {
    let objects;
    try {
      objects = read(text, this.current);
      const encoder = new TextEncoder();
      for (const { text: line = '' } of objects) {
        const n = encoder.encode(line).length;
        if (n > this.session.limits.line) throw new Error(t('lineTooLong', { n, most: this.session.limits.line }));
      }
    } catch (error) {
      return { error: error.message };
    }
    for (const object of objects) {
      if (/^(say|me|tell)$/.test(object.do)) this.#say(object);
      else if (object.do === 'join') this.enter(object.room);
      else if (object.do) this.order(object);
      else if (object.open) this.show(this.direct(object.open));
    }
    return objects.find((object) => object.show);
  }

  /** Sends an order; what is wrong with it is told. */
  async order(object) {
    const answer = await this.session.ask(object);
    if (answer?.event === 'refused') this.on.error(answer.text);
  }

  /** Gets the lines of a gap, from its end; all of them if the server has passed them over. */
  async earlier(room, item) {
    if (item.asked || !this.session.welcomed) return;
    item.asked = true;
    const [from, to] = item.gap;
    const question = item.why ? { after: from - 1, limit: Math.min(to - from + 1, 2 * PAGE) } : { before: to + 1, limit: PAGE };
    const answer = await this.session.ask({ do: 'history', room: room.name, ...question });
    item.asked = false;
    if (answer?.event === 'refused') return this.on.error(answer.text);
    if (!answer) return;
    this.#fill(room, question, answer);
    // Above what could be shown there may be nothing that scrolls.
    item.node = undefined;
    this.on.room(room);
    const rest = item.why && room.items.find(({ gap, why }) => why && gap[0] > from && gap[1] <= to);
    if (rest) await this.earlier(room, rest);
  }

  /** Gets what was said around `id`, so that it can be shown. */
  async around(room, id) {
    const question = { after: Math.max(0, id - 26), limit: 51 };
    const answer = await this.session.ask({ do: 'history', room: room.name, ...question });
    if (answer?.event !== 'history') return;
    this.#fill(room, question, answer);
    this.on.room(room);
  }

  async askRooms() {
    const answer = await this.session.ask({ do: 'rooms' });
    this.others = answer?.rooms ?? this.others;
  }

  async askWho(room) {
    if (!this.session.welcomed || room.isDirect) return;
    const answer = await this.session.ask({ do: 'who', room: room.name });
    if (answer?.event !== 'who') return;
    room.people = new Map(answer.people.map(({ name, is_muted: muted }) => [name, { muted }]));
    room.owners = new Set(answer.people.filter((person) => person.is_owner).map(({ name }) => name));
    this.on.changed();
  }

  /** The person has seen what is in `room`. */
  seen(room) {
    // Before the server has told of it there is nothing to be seen.
    if (room.read === null) return;
    const last = Math.max(room.last, room.read ?? 0);
    if (!room.unread && room.read === last) return;
    Object.assign(room, { unread: 0, named: false, read: last });
    this.#save();
    this.on.changed();
  }

  again(line) {
    line.state = 'pending';
    this.#redrawn(line);
    this.#send(line);
  }

  discard(line) {
    const room = this.#place(line);
    room.pending = room.pending.filter((other) => other !== line);
    this.on.room(room);
    this.#save();
  }

  // --- What goes out -----------------------------------------------------------------------------------

  #hello() {
    const { name, resume } = this.#who ?? {};
    this.#wanted = name;
    const rooms = [...this.rooms.values()].filter((room) => !room.isDirect && !room.left);
    return {
      do: 'hello', tag: 'hello', ...(name && { name }), ...(this.#password && { password: this.#password }), ...(resume && { resume }),
      rooms: Object.fromEntries(rooms.map((room) => [room.name, room.last || null])),
    };
  }

  #say(object) {
    const { do: kind, room, to, text } = object;
    const line = { from: this.me, kind: kind === 'me' ? 'me' : 'say', text, tag: this.session.tag(), time: Date.now(), mine: true, state: 'pending', room, to };
    const place = this.#place(line);
    line.id = place.last + 0.5;
    place.pending.push(line);
    if (place !== this.current) this.show(place);
    this.on.room(place);
    this.#send(line);
    this.#save();
  }

  #send({ kind, room, to, text, tag }) {
    if (!this.session.welcomed) return;
    this.session.say(to ? { do: 'tell', to, text, tag } : { do: kind, room, text, tag });
  }

  #place({ room, to }) {
    return to ? this.direct(to) : this.#room(room);
  }

  /** The connection is gone: what is not acknowledged is said again with the next one, if that is safe. */
  #lost() {
    for (const room of this.rooms.values()) {
      room.inside = false;
      for (const item of room.items) item.asked = false;
      for (const line of room.pending) {
        if (!line.to || line.state !== 'pending') continue;
        // The server cannot tell a repeated message to one person from a new one.
        line.state = 'unsure';
        this.#redrawn(line);
      }
    }
  }

  // --- What comes in -----------------------------------------------------------------------------------

  #heard(object) {
    this.#events[object.event]?.call(this, object);
  }

  #isWanted(name) {
    return !this.#wanted || name.toLowerCase() === this.#wanted.toLowerCase();
  }

  #welcome({ name, is_guest: isGuest, resume, keeps }) {
    this.#password = '';
    this.#who = { ...(isGuest ? {} : { name }), ...(resume && { resume }) };
    Object.assign(this, { me: name, isGuest, keeps });
    remember(localStorage, 'chat.who', this.#who);
    // Whoever got another name than they asked for is told why with the next object.
    if (this.#isWanted(name)) this.#named();
    for (const room of this.rooms.values()) {
      for (const line of room.pending.filter(({ state }) => state === 'pending')) this.#send(line);
    }
    this.on.state();
    this.on.changed();
  }

  #joined(object) {
    this.#named();
    const room = this.#room(object.room);
    const isFirst = room.read === null;
    const begun = room.joined(object);
    room.left = false;
    if (begun) room.note(() => t('begun'));
    if (isFirst) room.read = object.last;
    else if (room === this.current && object.last > room.read) Object.assign(room, { mark: room.read, newRow: undefined });
    this.#save();
    this.on.room(room);
    this.on.changed();
    if (room === this.current) this.askWho(room);
  }

  #line(object) {
    const room = this.#room(object.room);
    const own = object.tag && room.pending.find(({ tag }) => tag === object.tag);
    if (own) return this.#arrived(room, own, object);
    const line = this.#made(object);
    if (!room.take(line)) return undefined;
    if (line.kind === 'topic') room.topic = line.text;
    this.#news(room, line);
    return undefined;
  }

  #made({ id, time, from, kind, text, room }) {
    const mine = from === this.me;
    return { id, time: Date.parse(time), from, kind, text, room, mine, named: !mine && Boolean(this.me) && names(text, this.me) };
  }

  /** Our own line has its place; the tick comes once it is kept. */
  #arrived(room, line, { id, time }) {
    room.pending = room.pending.filter((other) => other !== line);
    if (!room.take({ ...line, id, time: Date.parse(time ?? '') || line.time })) this.#redrawn(line);
    this.on.room(room);
    return room.find(id);
  }

  #done({ tag, id, kept, time }) {
    for (const room of this.rooms.values()) {
      let line = [...room.pending, ...room.items.slice(-500)].find((item) => item.tag === tag && item.state);
      if (!line) continue;
      if (room.pending.includes(line)) line = this.#arrived(room, line, { id: id ?? room.last + 1, time });
      Object.assign(line, { state: 'kept', kept });
      this.#redrawn(line);
      if (room === this.current && this.current.read !== null) room.read = Math.max(room.read, room.last);
      return this.#save();
    }
    return undefined;
  }

  #refused({ tag, text, why }) {
    if (tag === 'hello' && !this.#isWanted(this.me)) {
      if (this.#naming) return this.#named(text);
      return this.on.name(text);
    }
    // A guest whom nobody remembers is another guest.
    if (tag === 'hello' && why === 'password') return undefined;
    for (const room of this.rooms.values()) {
      const line = room.pending.find((item) => item.tag === tag);
      if (!line) continue;
      Object.assign(line, { state: 'refused', why: text ?? why });
      this.#redrawn(line);
      return this.#save();
    }
    if (!tag || tag === 'hello') this.on.error(text ?? why);
    return undefined;
  }

  #news(room, line) {
    const isWords = line.kind === 'say' || line.kind === 'me';
    const isNew = isWords && !line.mine && line.id > (room.read ?? Infinity);
    if (isNew) {
      room.unread += 1;
      room.named ||= line.named || room.isDirect;
      this.on.news(room, line);
    }
    if (line.mine && room.read !== null) room.read = Math.max(room.read, line.id);
    this.on.room(room, isNew);
  }

  #presence(what, { room: name, name: who }) {
    const room = this.#room(name);
    if (what === 'came') room.people.set(who, {});
    else room.people.delete(who);
    const other = what === 'came' ? 'went' : 'came';
    let item = room.items.at(-1);
    if (!item?.came) item = Object.assign(room.note(), { came: [], went: [] });
    if (item[other].includes(who)) item[other] = item[other].filter((one) => one !== who);
    else item[what].push(who);
    item.note = () => ['came', 'went'].filter((way) => item[way].length).map((way) => t(way, { names: item[way].join(', ') })).join(' · ');
    item.node = undefined;
    if (!item.came.length && !item.went.length) room.items.pop();
    this.on.room(room);
  }

  #called({ name, is_guest: isGuest }) {
    Object.assign(this, { me: name, isGuest });
    this.#who = { ...this.#who, name: isGuest ? undefined : name };
    remember(localStorage, 'chat.who', this.#who);
    this.on.changed();
    this.#askToken();
  }

  /** A token stands for the name that one had when it was given. */
  async #askToken() {
    const answer = await this.session.ask({ do: 'token' });
    if (!answer?.resume) return;
    this.#who.resume = answer.resume;
    remember(localStorage, 'chat.who', this.#who);
  }

  #renamed({ room: name, name: from, to }) {
    if (from === this.me) this.me = to;
    const room = this.#room(name);
    if (!room.people.delete(from)) return;
    room.people.set(to, {});
    if (room.owners.delete(from)) room.owners.add(to);
    room.note(() => t('renamed', { name: from, to }));
    this.on.room(room);
  }

  #parted({ room: name, why }) {
    const room = this.rooms.get(`#${name}`);
    if (!room) return;
    Object.assign(room, { inside: false, left: true });
    if (!why) return this.#forget(room);
    room.people.clear();
    room.note(() => t('parted', { room: name, why })).enter = true;
    this.on.room(room);
  }

  #told({ from, to, text, time, kept }) {
    const isMine = from === this.me;
    const room = this.direct(isMine ? to : from);
    const line = { id: room.last + 1, time: Date.parse(time), from, kind: 'say', text, to, mine: isMine, state: isMine ? 'kept' : undefined, kept: isMine && kept };
    room.take(line);
    this.#news(room, line);
    this.#save();
  }

  #notice({ text }) {
    const room = this.current;
    room.note(() => text);
    this.on.room(room);
  }

  #missed({ room: name, from, to }) {
    const room = this.#room(name);
    room.missed(from, to);
    this.on.room(room);
  }

  /** How the name fared, for the one who waits for it. */
  #named(wrong) {
    this.#naming?.(wrong);
    this.#naming = null;
  }

  // --- Keeping -----------------------------------------------------------------------------------------

  #get(key) {
    return this.rooms.get(key);
  }

  #room(name) {
    return this.#get(`#${name}`) ?? this.#add(`#${name}`, Object.assign(new Room(name), { read: this.#read[name] ?? null }));
  }

  #add(key, room) {
    this.rooms.set(key, room);
    if (this.current) this.on.changed();
    return room;
  }

  #remind(name, items) {
    const room = this.direct(name);
    for (const item of items) room.take(item);
    room.read = room.last;
  }

  #forget(room) {
    if (this.rooms.size === 1) return;
    this.rooms.delete(room.isDirect ? `@${room.name}` : `#${room.name}`);
    if (room === this.current) this.show(this.rooms.values().next().value);
    this.#save();
    this.on.changed();
  }

  #fill(room, question, { lines, more }) {
    room.filled(question, lines.map((line) => this.#made({ ...line, room: room.name })), more);
  }

  #redrawn(line) {
    line.node = undefined;
    this.on.room(this.#place(line));
  }

  #save() {
    this.#saving ||= setTimeout(() => this.#keep(), 200);
  }

  /** Where one is, for the next visit; conversations of two and what is on its way, for this tab alone. */
  #keep() {
    clearTimeout(this.#saving);
    this.#saving = 0;
    const all = [...this.rooms.values()];
    const rooms = all.filter((room) => !room.isDirect && !room.left);
    remember(localStorage, 'chat.rooms', Object.fromEntries(rooms.map((room) => [room.name, room.read])));
    const bare = ({ node, day, ...line }) => line;
    const lines = (items) => items.filter((item) => item.from !== undefined).slice(-DIRECT).map(bare);
    remember(sessionStorage, 'chat.direct', all.filter((room) => room.isDirect).map(({ name, items }) => ({ name, items: lines(items) })));
    remember(sessionStorage, 'chat.pending', all.flatMap((room) => room.pending.map(bare)));
  }
}
