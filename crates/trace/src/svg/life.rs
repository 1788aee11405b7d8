//! The lines of both ends: coloured by their states, broken where nothing happens, with a mark where a phase begins.

use std::fmt::Write;

use super::{LINES, Picture, TOP, WIDTH, paint};
use crate::event::{Side, State, Sure};
use crate::words::duration;

impl Picture<'_> {
    /// The lines of both ends, coloured by their states.
    pub(super) fn lives(&self, out: &mut String) {
        let end = self.scale.end() + 16.0;
        for side in Side::BOTH {
            let x = LINES[side.index()] - 4.0;
            if !self.flow.has_states() {
                let (x, y) = (x + 2.0, TOP - 20.0);
                let height = end - y;
                put!(
                    out,
                    r#"<rect class="plain" x="{x}" y="{y}" width="4" height="{height:.1}"/>"#
                );
                continue;
            }
            let pieces = self.life(side);
            for (index, (y, state, sure)) in pieces.iter().enumerate() {
                let until = pieces.get(index + 1).map_or(end, |next| next.0);
                let place = format!(
                    r#"x="{x}" y="{y:.1}" width="8" height="{:.1}""#,
                    (until - y).max(0.0)
                );
                put!(
                    out,
                    r#"<rect class="{}" {place}/>"#,
                    paint::class_of(*state)
                );
                if *sure == Sure::Expected {
                    put!(out, r#"<rect fill="url(#hatch)" {place}/>"#);
                }
            }
            self.states(out, side, &pieces);
        }
    }

    /// Where the state of an end changes, or how it is known.
    fn life(&self, side: Side) -> Vec<(f64, State, Sure)> {
        let mut pieces = vec![(TOP - 20.0, self.flow.first[side.index()], Sure::Seen)];
        if let Some(lives) = &self.flow.lives {
            let start = self.flow.events.first().map_or(0, |event| event.time);
            let changes = lives[side.index()].iter();
            let y = |time: i64| self.scale.y(time - start);
            pieces.extend(changes.map(|(time, state)| (y(*time), *state, Sure::Seen)));
            return pieces;
        }
        for (index, row) in self.rows.iter().enumerate() {
            let Some(states) = row.last().states else {
                continue;
            };
            let at = states[side.index()];
            let last = pieces[pieces.len() - 1];
            if (last.1, last.2) != (at.state, at.sure) {
                pieces.push((self.touches(index, side), at.state, at.sure));
            }
        }
        pieces
    }

    /// The names of the states beside the line.
    fn states(&self, out: &mut String, side: Side, pieces: &[(f64, State, Sure)]) {
        let x = LINES[side.index()];
        let (x, anchor) = match side {
            Side::A => (x - 12.0, "end"),
            Side::B => (x + 12.0, "start"),
        };
        let mut free = 0.0_f64;
        for (index, (y, state, sure)) in pieces.iter().enumerate() {
            if index > 0 && pieces[index - 1].1 == *state {
                continue;
            }
            let class = match sure {
                Sure::Expected => "state expected",
                Sure::Seen | Sure::Kernel => "state",
            };
            let y = (y + 4.0).max(free);
            free = y + 12.0;
            let name = state.name();
            put!(
                out,
                r#"<text class="{class}" x="{x}" y="{y:.1}" text-anchor="{anchor}">{name}</text>"#
            );
        }
    }

    /// Long pauses break the lines.
    pub(super) fn pauses(&self, out: &mut String) {
        for (y, time) in self.scale.pauses() {
            for x in LINES {
                put!(
                    out,
                    r#"<rect class="bg" x="{}" y="{:.1}" width="16" height="14"/>"#,
                    x - 8.0,
                    y - 7.0
                );
                put!(
                    out,
                    r#"<path class="broken" d="M{} {:.1}l8 -5m-8 12l8 -5"/>"#,
                    x - 4.0,
                    y - 1.0
                );
            }
            let middle = (LINES[0] + LINES[1]) / 2.0;
            put!(
                out,
                r#"<text class="dim" x="{middle}" y="{:.1}" text-anchor="middle">{} later</text>"#,
                y + 4.0,
                duration(time)
            );
        }
    }

    /// A band where data begins, and one where the end does.
    pub(super) fn phases(&self, out: &mut String) {
        let mut last = "";
        for (index, row) in self.rows.iter().enumerate() {
            let Some(tcp) = row.first().tcp() else {
                continue;
            };
            let closes = crate::diagram::closes(tcp);
            let phase = match (closes, tcp.len > 0, last) {
                (true, ..) => "close",
                (false, true, "") => "data",
                _ => last,
            };
            if phase != last && last != "close" {
                let y = self.ends(index)[0] - 13.0;
                put!(
                    out,
                    r#"<path class="phase" d="M60 {y:.1}H{}"/>"#,
                    WIDTH - 60.0
                );
                put!(
                    out,
                    r#"<text class="dim" x="{}" y="{:.1}" text-anchor="end">{phase}</text>"#,
                    WIDTH - 60.0,
                    y - 4.0
                );
                last = phase;
            }
        }
    }
}
