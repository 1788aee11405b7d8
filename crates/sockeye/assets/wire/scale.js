// Where moments lie: time runs down, more slowly the longer nothing happens, and never so little that texts meet.
// The same heights as those of the pictures that `sockeye trace --svg` draws; times in seconds.

/** Longer pauses are broken, and take so much room. */
const PAUSE = 0.15;
const BREAK = 40;
/** Between what is sent and what comes before it, and the same for arrivals. */
const SENT = 22;
const ARRIVED = 9;

export const sent = (time, after) => ({ time, before: SENT, after, real: true });
export const arrived = (time, real) => ({ time, before: ARRIVED, after: 0, real });

export class Scale {
  /** Times in order, each with its height. */
  #places = [];
  /** Where a break is drawn, and how long it stands for. */
  pauses = [];

  constructor(moments, top) {
    let free = top;
    let before = 0;
    for (const { time, before: room, after, real } of moments.toSorted((a, b) => a.time - b.time)) {
      const last = this.#places.at(-1);
      const passed = last ? time - last[0] : 0;
      if (last && passed === 0) {
        free = Math.max(free, last[1] + after);
        continue;
      }
      // Each tenfold of a hundredth of a millisecond is a step.
      let y = last ? Math.max(last[1] + Math.max(room, 11 * Math.log10(1 + passed / 1e-5)), free) : top;
      if (passed > PAUSE) {
        this.pauses.push([y + BREAK / 2 - 6, time - before]);
        y += BREAK;
      }
      if (real) before = time;
      this.#places.push([time, y]);
      free = y + after;
    }
  }

  /** The height of a moment; between two that are known it lies as far as its time does. */
  y(time) {
    const places = this.#places;
    const after = places.findIndex(([known]) => known >= time);
    if (after < 0) return places.at(-1)?.[1] ?? 0;
    const [to, bottom] = places[after];
    if (to === time || after === 0) return bottom;
    const [from, top] = places[after - 1];
    return top + ((bottom - top) * (time - from)) / (to - from);
  }

  get end() {
    return (this.#places.at(-1)?.[1] ?? 0) + 24;
  }
}
