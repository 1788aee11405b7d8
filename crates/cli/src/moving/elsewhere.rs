//! Names that are good here, and that other systems cannot hold: told before they are sent.

use std::collections::HashMap;

use sockeye::transfer::{Item, RelativePath};

/// Tells of names that are one where case or composition does not count, and of those that some system cannot have:
/// a line for all of a kind, as there may be many.
pub(crate) fn elsewhere(items: &[Item], mut tell: impl FnMut(&str)) {
    let mut troubled = Vec::new();
    for Item { path, .. } in items {
        if let Some(why) = path.trouble_elsewhere() {
            troubled.push((path, why));
        }
    }
    let alike = alike(items);
    if let Some((one, other)) = alike.first() {
        let more = more(alike.len());
        tell(&format!(
            "{one} and {other}{more} are the same name to systems that mind no case or composition of letters"
        ));
    }
    if let Some((path, why)) = troubled.first() {
        let more = more(troubled.len());
        tell(&format!(
            "{path}{more} cannot have its name on every system: {why}"
        ));
    }
}

/// Paths that are one where case or composition does not count.
fn alike(items: &[Item]) -> Vec<(&RelativePath, &RelativePath)> {
    let mut alike = Vec::new();
    // Of two such paths one at least is not what both are folded to, and mostly there is none.
    if items.iter().all(|item| item.path.is_folded()) {
        return alike;
    }
    let mut names: HashMap<Box<[u8]>, &RelativePath> = HashMap::with_capacity(items.len());
    for Item { path, .. } in items {
        match names.insert(path.folded(), path) {
            Some(other) if other != path => alike.push((other, path)),
            _ => {}
        }
    }
    alike
}

fn more(count: usize) -> String {
    match count {
        1 => String::new(),
        count => format!(" ({} more like that)", count - 1),
    }
}
