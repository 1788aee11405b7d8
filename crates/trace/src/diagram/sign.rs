//! A row's texts for pictures that are not made of letters.

use super::fold::Row;
use super::label::{Class, Label};
use super::pen;

/// Letters that fit on an arrow.
const ROOM: usize = 64;
/// Letters of a line below it.
const BELOW: usize = 76;

/// What is written at an arrow.
pub(crate) struct Sign {
    /// On it.
    pub(crate) label: String,
    /// How it is coloured.
    pub(crate) class: &'static str,
    /// Under it: how each line is coloured, and what it says.
    pub(crate) below: Vec<(&'static str, String)>,
    /// Everything, for who asks.
    pub(crate) full: String,
}

/// The texts of all rows.
pub(crate) fn signs(rows: &[Row<'_>]) -> Vec<Sign> {
    rows.iter().map(sign).collect()
}

fn sign(row: &Row<'_>) -> Sign {
    let labels: Vec<_> = row
        .arrows()
        .iter()
        .map(|arrow| Label::of(arrow, false))
        .collect();
    let class = labels.first().map_or("", |label| name(label.class));
    let join = |room: usize| {
        let texts: Vec<_> = labels.iter().map(|label| label.fitted(room)).collect();
        texts.join("  ⇄  ")
    };
    let lines = row.lines();
    let mut below = Vec::new();
    for (class, text) in &lines {
        let parts = pen::wrapped(text, BELOW, 0);
        below.extend(parts.into_iter().map(|part| (name(*class), part)));
    }
    let mut full = format!("#{}  {}", row.first().frame, join(usize::MAX));
    for (_, text) in lines {
        full.push('\n');
        full.push_str(&text);
    }
    Sign {
        label: join(ROOM / labels.len().max(1)),
        class,
        below,
        full,
    }
}

fn name(class: Class) -> &'static str {
    match class {
        Class::Syn => "syn",
        Class::Fin => "fin",
        Class::Rst => "rst",
        Class::Data => "data",
        Class::Ack => "ack",
        Class::Again => "again",
        Class::Step => "step",
        Class::Note | Class::Explained => "note",
    }
}
