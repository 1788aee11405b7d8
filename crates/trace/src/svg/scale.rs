//! Where moments lie: time runs down, more slowly the longer nothing happens, and never so little that texts meet.

/// Longer pauses are broken, in nanoseconds.
const PAUSE: i64 = 150_000_000;
/// Room for a break.
const BREAK: f64 = 40.0;
/// Between what is sent and what comes before it, and the same for arrivals.
const SENT: f64 = 22.0;
const ARRIVED: f64 = 9.0;

/// Something that happens at one end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    time: i64,
    /// Room before it, and after it for its texts.
    before: f64,
    after: f64,
    /// It happened, as far as one knows.
    real: bool,
}

impl Moment {
    pub(super) fn sent(time: i64, texts: f64) -> Self {
        Self {
            time,
            before: SENT,
            after: texts,
            real: true,
        }
    }

    pub(super) fn arrived(time: i64, real: bool) -> Self {
        Self {
            time,
            before: ARRIVED,
            after: 0.0,
            real,
        }
    }
}

/// From time to height.
#[derive(Debug)]
pub(super) struct Scale {
    /// Times in order, each with its height.
    places: Vec<(i64, f64)>,
    pauses: Vec<(f64, u64)>,
}

impl Scale {
    pub(super) fn new(mut moments: Vec<Moment>, top: f64) -> Self {
        moments.sort_by_key(|moment| moment.time);
        let mut places: Vec<(i64, f64)> = Vec::new();
        let mut pauses = Vec::new();
        // Until here texts reach.
        let mut free = top;
        let mut before = 0;
        for moment in moments {
            let (y, passed) = match places.last() {
                None => (top, 0),
                Some((time, y)) => (*y, moment.time - time),
            };
            if passed == 0 && !places.is_empty() {
                free = free.max(y + moment.after);
                continue;
            }
            // Each tenfold of a hundredth of a millisecond is a step.
            let stretched = 11.0 * (1.0 + passed as f64 / 1e4).log10();
            let mut next = (y + moment.before.max(stretched)).max(free);
            if places.is_empty() {
                next = top;
            }
            if passed > PAUSE {
                let passed = (moment.time - before) as u64;
                pauses.push((next + BREAK / 2.0 - 6.0, passed));
                next += BREAK;
            }
            if moment.real {
                before = moment.time;
            }
            places.push((moment.time, next));
            free = next + moment.after;
        }
        Self { places, pauses }
    }

    /// The height of a moment; between two that are known it lies as far as its time does.
    pub(super) fn y(&self, time: i64) -> f64 {
        let after = self.places.partition_point(|(known, _)| *known < time);
        match (
            after.checked_sub(1).map(|before| self.places[before]),
            self.places.get(after),
        ) {
            (_, Some((known, y))) if *known == time => *y,
            (Some((from, top)), Some((to, bottom))) => {
                let part = (time - from) as f64 / (to - from) as f64;
                top + (bottom - top) * part
            }
            (Some((_, y)), None) | (None, Some(&(_, y))) => y,
            (None, None) => 0.0,
        }
    }

    pub(super) fn end(&self) -> f64 {
        self.places.last().map_or(0.0, |(_, y)| *y) + 24.0
    }

    /// Where a break is drawn, and how long it stands for.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (f64, u64)> {
        self.pauses.iter().copied()
    }
}
