// Characters and bytes: decoding that loses nothing, encoding, hex, dumps, and text made safe to look at.

/** What was typed cannot be sent: `key` is its word, `at` its place in the text, `what` the culprit. */
export class InputError extends Error {
  constructor(key, at, what) {
    super(key);
    Object.assign(this, { key, at, what });
  }
}

// The encoders' choices where several bytes mean one character (encoding.spec.whatwg.org): leads that are
// only read, characters whose last bytes are taken, and characters that stand for others.
const READ_ONLY = { big5: [0x81, 0xa0], shift_jis: [0xed, 0xf9], gb18030: [0x80, 0x80] };
const LAST = { big5: '═╞╡╪十卅' };
const JAPANESE = { '¥': '\\', '‾': '~', '−': '－' };
const ALIASES = { shift_jis: JAPANESE, 'euc-jp': JAPANESE };

const codecs = new Map();

/** The codec of this name. @throws {RangeError} when the browser has none. */
export function codec(name) {
  const label = name.toLowerCase();
  if (!codecs.has(label)) codecs.set(label, new Codec(label));
  return codecs.get(label);
}

/** Decodes into strings in which a byte that is no text is the lone surrogate U+DC00 + byte. */
class Codec {
  constructor(label) {
    // A browser would take these two for windows-1252.
    this.plain = { 'iso-8859-1': 256, 'us-ascii': 128 }[label];
    if (this.plain) return;
    this.name = new TextDecoder(label).encoding;
    this.wide = this.name.startsWith('utf-16');
    if (this.name === 'iso-2022-jp') throw new RangeError('a stateful encoding cannot be shown byte by byte');
  }

  decode(bytes) {
    try {
      if (this.name) return this.decoder(true).decode(bytes);
    } catch { /* some bytes are no text: below */ }
    let out = '';
    for (let at = 0; at < bytes.length;) {
      const length = this.length(bytes, at);
      out += this.character(bytes, at, length);
      at += length || 1;
    }
    return out;
  }

  // Always a new one: after a broken character Chromium's EUC-JP decoder keeps its state.
  decoder(fatal = false) {
    return new TextDecoder(this.name, { fatal, ignoreBOM: true });
  }

  /** The character of `length` bytes at `at`; with length 0 the byte that is none. */
  character(bytes, at, length) {
    const a = bytes[at];
    if (length === 0) return String.fromCharCode(0xdc00 + a);
    if (this.plain || (length === 1 && a < 0x80)) return String.fromCharCode(a);
    if (this.name === 'utf-8') return utf8Character(bytes, at, length);
    if (length > 2 || this.wide) return this.decoder().decode(bytes.subarray(at, at + length));
    return this.read.get(length === 1 ? a : a << 8 | bytes[at + 1]);
  }

  /** How many bytes the character at `at` has; 0 if there is none. */
  length(bytes, at) {
    const a = bytes[at];
    const b = bytes[at + 1];
    if (this.plain) return a < this.plain ? 1 : 0;
    if (this.name === 'utf-8') return utf8Length(bytes, at);
    if (this.wide) return this.fits(bytes, at, 2) || this.fits(bytes, at, 4);
    if (this.read.has(a)) return 1;
    if (this.read.has(a << 8 | b)) return 2;
    if (a === 0x8f && this.name === 'euc-jp') return this.fits(bytes, at, 3);
    return b >= 0x30 && b <= 0x39 && this.name.startsWith('gb') ? this.fits(bytes, at, 4) : 0;
  }

  fits(bytes, at, length) {
    const whole = at + length <= bytes.length;
    return whole && !this.decoder().decode(bytes.subarray(at, at + length)).includes('\ufffd') ? length : 0;
  }

  /** @throws {InputError} at the first character that does not exist here. Nothing is put in its place. */
  encode(text) {
    if (this.name === 'utf-8') return new TextEncoder().encode(text);
    if (this.wide) return utf16(text, this.name === 'utf-16le');
    const out = [];
    let at = 0;
    for (const character of text) {
      const code = this.code(character);
      if (code === undefined) throw new InputError('noChar', at, character);
      if (code > 0xffffff) out.push(code >>> 24, code >> 16 & 255);
      if (code > 0xff) out.push(code >> 8 & 255);
      out.push(code & 255);
      at += character.length;
    }
    return Uint8Array.from(out);
  }

  code(character) {
    const point = character.codePointAt(0);
    if (this.plain) return point < this.plain ? point : undefined;
    const known = this.written.get(ALIASES[this.name]?.[character] ?? character);
    if (known !== undefined || this.name !== 'gb18030') return known;
    return point > 0xffff ? fourBytes(point - 0x10000 + 189000) : this.four.get(character);
  }

  /** What one and two bytes mean. Made when it is first needed. */
  get read() {
    const read = new Map([[10, '\n']]);
    for (let lead = 0; lead < 256; lead++) if (lead !== 10) this.learn(read, [[lead]]);
    const three = this.name === 'euc-jp' ? 0x8f : undefined;
    const leads = [...Array(256).keys()].filter((lead) => !read.has(lead) && lead !== three);
    const trails = [...Array(0xcf).keys()].map((trail) => trail + 0x30);
    this.learn(read, leads.flatMap((lead) => trails.map((trail) => [lead, trail])));
    return keep(this, 'read', read);
  }

  /** The bytes of each character: `read` turned round. */
  get written() {
    const written = new Map();
    const [low, high] = READ_ONLY[this.name] ?? [];
    for (const [code, character] of this.read) {
      const lead = code > 255 ? code >> 8 : code;
      const stays = written.has(character) && !LAST[this.name]?.includes(character);
      if (!stays && !(lead >= low && lead <= high)) written.set(character, code);
    }
    return keep(this, 'written', written);
  }

  /** The four bytes of GB18030 for what two bytes do not reach. */
  get four() {
    const read = new Map();
    const codes = [...Array(39420).keys()].map(fourBytes);
    this.learn(read, codes.map((code) => [code >>> 24, code >> 16 & 255, code >> 8 & 255, code & 255]));
    return keep(this, 'four', new Map([...read].map(([code, character]) => [character, code])));
  }

  /** Decodes all the groups at once; a line feed is never part of a character. */
  learn(into, groups) {
    const characters = this.decoder().decode(Uint8Array.from(groups.flatMap((group) => [...group, 10]))).split('\n');
    groups.forEach((group, index) => {
      const character = characters[index];
      if (!character.includes('\ufffd')) into.set(group.reduce((code, byte) => code * 256 + byte, 0), character);
    });
  }
}

function keep(owner, name, value) {
  Object.defineProperty(owner, name, { value });
  return value;
}

function fourBytes(pointer) {
  const bytes = [0x81 + pointer / 12600, 0x30 + pointer / 1260 % 10, 0x81 + pointer / 10 % 126, 0x30 + pointer % 10];
  return bytes.reduce((code, byte) => code * 256 + Math.floor(byte), 0);
}

function utf16(text, little) {
  const bytes = new DataView(new ArrayBuffer(text.length * 2));
  for (let at = 0; at < text.length; at++) bytes.setUint16(at * 2, text.charCodeAt(at), little);
  return new Uint8Array(bytes.buffer);
}

function utf8Length(bytes, at) {
  const a = bytes[at];
  if (a < 0x80) return 1;
  const length = a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;
  for (let next = 1; next < length; next++) {
    const b = bytes[at + next];
    if (!(b >= 0x80 && b <= 0xbf)) return 0;
    // Overlong forms, surrogates, and what is above U+10FFFF.
    if (next === 1 && ((a === 0xe0 && b < 0xa0) || (a === 0xed && b > 0x9f))) return 0;
    if (next === 1 && ((a === 0xf0 && b < 0x90) || (a === 0xf4 && b > 0x8f))) return 0;
  }
  return length;
}

const PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function utf8Character(bytes, at, length) {
  let point = bytes[at] & 0xff >> length + 1;
  for (let next = 1; next < length; next++) point = point << 6 | bytes[at + next] & 0x3f;
  return String.fromCodePoint(point);
}

/** What a message is on the wire. */
export const bytesOf = (data) => (typeof data === 'string' ? new TextEncoder().encode(data) : data);

/** `fc 2a 00 01` */
export function grouped(bytes) {
  let out = '';
  for (const byte of bytes) out += `${PAIRS[byte]} `;
  return out.slice(0, -1);
}

/** The bytes that `text` spells in hex, as `sockeye` reads it. @throws {InputError} */
export function parseHex(text) {
  const out = [];
  for (const { 0: word, index } of text.matchAll(/[^\s,:_-]+/g)) {
    for (const group of word.matchAll(/(0x|\\x)?((?:(?!\\x)[^])*)/giy)) {
      if (group[0]) parseGroup(group, index + group.index, out);
    }
  }
  return Uint8Array.from(out);
}

function parseGroup([whole, prefix = '', digits], at, out) {
  const wrong = digits.search(/[^\da-f]/i);
  if (wrong >= 0) {
    const place = at + prefix.length + wrong;
    throw new InputError('notHex', place, String.fromCodePoint(digits.codePointAt(wrong)));
  }
  if (!digits) throw new InputError('noDigits', at, whole);
  if (digits.length % 2) throw new InputError('oddHex', at, whole);
  for (const [two] of digits.matchAll(/../g)) out.push(parseInt(two, 16));
}

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\u{1f300}-\u{3fffd}]/u;
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{M}]/u;

/** Rows of bytes; on the right every byte owns one cell, and a character begins in the cell of its first byte. */
export function dump(bytes, codec, columns = 16) {
  const texts = [''];
  for (let at = 0; at < bytes.length;) {
    const known = codec.length(bytes, at);
    const length = known || 1;
    const character = codec.character(bytes, at, known);
    const width = WIDE.test(character) ? 2 : 1;
    const shown = width <= length && !UNSEEN.test(character);
    // A wide character in the last cell of a row stands out of it.
    const taken = Math.min(width, columns - at % columns);
    for (let cell = 0; cell < length; cell++) {
      if (!shown || cell >= taken) texts[texts.length - 1] += '.';
      else if (cell === 0) texts[texts.length - 1] += character;
      at += 1;
      if (at % columns === 0) texts.push('');
    }
  }
  return texts.map((text, row) => text && dumpRow(row * columns, bytes.subarray(row * columns, (row + 1) * columns), text, columns))
    .join('\n').trimEnd();
}

function dumpRow(offset, bytes, text, columns) {
  const hex = grouped(bytes).padEnd(columns * 3 - 1);
  const halves = columns > 8 ? `${hex.slice(0, 23)}  ${hex.slice(24)}` : hex;
  return `${offset.toString(16).padStart(8, '0')}  ${halves}  |${text}|`;
}

// White space that is seen by what it does; controls, what turns the direction of text and what cannot be seen;
// bytes that are no text.
const MARKS =
  /[\t\n\r]+|[\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]+|[\udc00-\udcff]+/gu;
const NAMED = { '\0': '0', '\t': 't', '\n': 'n', '\r': 'r', '\x1b': 'e' };

/** A character that must not act, written as `sockeye` writes it in a terminal. */
function mark(character) {
  const point = character.codePointAt(0);
  if (character in NAMED) return `\\${NAMED[character]}`;
  if (point < 0x80 || (point >= 0xdc00 && point <= 0xdcff)) return `\\x${PAIRS[point & 255]}`;
  return `\\u{${point.toString(16)}}`;
}

/** `text` cut into `[what to show, '' or what it is: space or mark]`. */
export function* pieces(text) {
  let from = 0;
  for (const { 0: found, index } of text.matchAll(MARKS)) {
    if (index > from) yield [text.slice(from, index), ''];
    from = index + found.length;
    const space = '\t\n\r'.includes(found[0]);
    const marks = Array.from(found, (c) => mark(c) + (space && c !== '\r' ? c : '')).join('');
    // The last line end of a message begins no line.
    yield [from === text.length && found.endsWith('\n') ? marks.slice(0, -1) : marks, space ? 'space' : 'mark'];
  }
  if (from < text.length) yield [text.slice(from), ''];
}

/** `text` without a hold on a terminal or an editor: lines and tabs stay, other controls are marks. */
export const printable = (text) => text.replace(/\r\n/g, '\n')
  .replace(MARKS, (run) => Array.from(run, (c) => (c === '\n' || c === '\t' ? c : mark(c))).join(''));
