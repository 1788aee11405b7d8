// What was said in the room that is shown, as rows; and where in it one is reading.
import { $, make } from '../page/browser.js';
import { count, t } from '../page/words.js';
import { day, face, isSameDay, minute, moment, named, plain, rich } from './show.js';

/** Lines of one person within this time are one group, in milliseconds. */
const GROUP = 5 * 60_000;
/** So close to the end one reads what comes, in pixels. */
const NEAR = 40;

export class Log {
  room = null;
  #rows = [];
  #drawing = 0;
  #follows = true;
  /** Where something happened since one left the end. */
  #news = 0;

  /** @param on `me()`, `earlier(gap)`, `again(line)`, `discard(line)`, `enter(room)`, `seen()` */
  constructor(on) {
    this.on = on;
    this.view = $('view');
    this.view.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => { if (this.#follows) this.end(); }).observe(this.view);
    $('jump').addEventListener('click', () => { this.end(); $('input').focus(); });
  }

  /** Shows another room, where one was reading it. */
  show(room) {
    if (this.room) this.room.place = this.#follows ? null : this.view.scrollTop;
    this.room = room;
    this.#news = 0;
    this.#rows = [];
    $('log').replaceChildren();
    this.#draw();
    const mark = this.view.querySelector('.new');
    if (room.place !== null) this.view.scrollTop = room.place;
    else if (mark) mark.scrollIntoView({ block: 'center' });
    else this.end();
    this.#scrolled();
  }

  /** Something of `room` changed. */
  changed(room, isNews = false) {
    if (room !== this.room) return;
    if (isNews && !this.#follows) this.#news += 1;
    // A page in the background draws nothing, and catches up when it is looked at.
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
  }

  /** Makes all rows anew: the words or the day are others. */
  redraw() {
    if (!this.room) return;
    this.room.newRow = undefined;
    for (const item of [...this.room.items, ...this.room.pending]) item.node = undefined;
    this.changed(this.room);
  }

  end() {
    this.view.scrollTop = this.view.scrollHeight;
  }

  page(pages) {
    this.view.scrollBy({ top: pages * this.view.clientHeight * 0.85 });
  }

  get isAtEnd() {
    return this.#follows && !document.hidden;
  }

  /** Leads to the line `id`, if it is here. */
  goTo(id) {
    this.#draw();
    const { node } = this.room.find(id) ?? {};
    if (!node) return false;
    node.scrollIntoView({ block: 'center' });
    node.classList.add('found');
    node.addEventListener('animationend', () => node.classList.remove('found'), { once: true });
    return true;
  }

  #draw() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = 0;
    const { room, view } = this;
    if (this.#follows) room.trim();
    const rows = this.#layout(room);
    const kept = new Set(rows);
    const held = this.#follows ? null : this.#rows.find((row) => kept.has(row) && row.offsetTop + row.offsetHeight > view.scrollTop);
    const top = held?.offsetTop;
    this.#exchange(rows, kept);
    if (this.#follows) this.end();
    else if (held) view.scrollTop += held.offsetTop - top;
    this.#jump();
    if (this.isAtEnd) this.on.seen();
  }

  /** Puts `rows` in the place of those that were there; what stays is not touched, and stays selected. */
  #exchange(rows, kept) {
    const [log, old] = [$('log'), this.#rows];
    let same = 0;
    while (same < old.length && old[same] === rows[same]) same += 1;
    let tail = 0;
    while (tail < old.length - same && tail < rows.length - same && old.at(-1 - tail) === rows.at(-1 - tail)) tail += 1;
    for (const row of old.slice(same, old.length - tail)) if (!kept.has(row)) row.remove();
    const next = tail ? old.at(-tail) : null;
    const between = document.createDocumentFragment();
    between.append(...rows.slice(same, rows.length - tail));
    log.insertBefore(between, next);
    this.#rows = rows;
  }

  #layout(room) {
    const rows = [];
    if (!room.gapAbove) rows.push(this.#beginning(room));
    let before = null;
    let marked = room.mark === null;
    for (const item of [...room.items, ...room.pending]) {
      if (item.time && !(before?.time && isSameDay(before.time, item.time))) rows.push(separator(item));
      if (!marked && item.from !== undefined && item.id > room.mark) {
        marked = true;
        if (item.from !== this.on.me()) rows.push(room.newRow ??= make('li', t('newLines'), { className: 'new' }));
      }
      item.node ??= this.#row(room, item);
      item.node.classList.toggle('head', !follows(before, item));
      rows.push(item.node);
      before = item;
    }
    return rows;
  }

  #beginning(room) {
    if (!room.beginning) {
      room.beginning = make('li', '', { className: 'beginning' });
    }
    const words = room.isDirect ? t('directHelp', { name: room.name })
      : room.items.length ? t('beginning', { room: room.name }) : t('nothingYet');
    if (room.beginning.textContent !== words) room.beginning.replaceChildren(...plain(words));
    return room.beginning;
  }

  #row(room, item) {
    if (item.gap) return this.#gap(room, item);
    if (item.note) return this.#note(room, item);
    return this.#line(item);
  }

  #gap(room, item) {
    const row = make('li', '', { className: 'gap' });
    const n = item.gap[1] - item.gap[0] + 1;
    const isAbove = item === room.gapAbove;
    if (item.why) row.append(make('span', t(item.why, { n: count(n) })));
    row.append(make('button', t(item.why ? 'fetch' : isAbove ? 'earlier' : 'between'), { type: 'button', onclick: () => this.on.earlier(room, item) }));
    return row;
  }

  #note(room, item) {
    const row = make('li', '', { className: 'note' });
    const text = make('span');
    text.append(...plain(item.note()));
    text.dir = 'auto';
    row.append(text);
    if (item.enter) row.append(make('button', t('enterAgain'), { type: 'button', onclick: () => this.on.enter(room) }));
    return row;
  }

  #line(item) {
    const { from, kind, text, time } = item;
    const isMine = item.mine;
    const row = make('li', '', { className: `line ${kind}${isMine ? ' mine' : ''}${item.named ? ' named' : ''}` });
    const clock = make('time', minute(time), { title: moment(time), dateTime: new Date(time).toISOString() });
    const who = make('p', '', { className: 'who' });
    who.append(named(from), clock);
    const body = make('p', '', { className: 'text', dir: 'auto' });
    if (kind === 'me') body.append(named(from), ' ');
    if (kind === 'topic') body.append(...plain(t(text ? 'setTheTopic' : 'clearedTopic', { name: from, text })));
    else body.append(...rich(text));
    row.append(face(from), who, body);
    if (isMine && kind !== 'topic') body.append(' ', this.#state(item));
    return row;
  }

  /** What became of our own line. */
  #state(item) {
    const { state = 'kept', why, kept } = item;
    const mark = make('span', '', { className: `state ${state}` });
    if (state === 'kept') Object.assign(mark, { textContent: kept ? `✓ ${t('waits', { name: item.to })}` : '✓', title: t('kept') });
    else if (state === 'pending') Object.assign(mark, { textContent: '…', title: t('pending') });
    if (state === 'kept' || state === 'pending') mark.ariaLabel = mark.title;
    if (mark.ariaLabel) mark.role = 'img';
    if (state !== 'refused' && state !== 'unsure') return mark;
    mark.append(...plain(state === 'refused' ? t('refused', { why }) : t('unsure')));
    mark.append(
      make('button', t('again'), { type: 'button', onclick: () => this.on.again(item) }),
      make('button', t('discard'), { type: 'button', onclick: () => this.on.discard(item) }),
    );
    return mark;
  }

  #scrolled() {
    const { view, room } = this;
    this.#follows = view.scrollHeight - view.scrollTop - view.clientHeight < NEAR;
    if (this.#follows) {
      this.#news = 0;
      if (this.isAtEnd) this.on.seen();
    }
    this.#jump();
    const gap = room?.gapAbove;
    if (gap && !gap.asked && view.scrollTop < view.clientHeight) this.on.earlier(room, gap);
  }

  #jump() {
    $('jump').hidden = this.#follows;
    $('jump').textContent = this.#news ? t('newestN', { n: count(this.#news) }) : t('newest');
  }
}

function separator(item) {
  item.day ??= make('li', '', { className: 'day' });
  const text = day(item.time);
  if (item.day.textContent !== text) item.day.replaceChildren(make('span', text));
  return item.day;
}

/** Whether `item` belongs to what the same person has just said. */
function follows(before, item) {
  return before?.from !== undefined && before.from === item.from && before.kind === 'say' && item.kind === 'say'
    && new Date(item.time) - new Date(before.time) < GROUP && isSameDay(before.time, item.time);
}
