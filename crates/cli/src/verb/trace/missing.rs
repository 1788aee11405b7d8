//! What is not in the pictures.

use trace::{Capture, Fault};

/// What is not in the pictures, a line each.
pub(super) fn left_out(capture: &Capture, name: &str) -> String {
    let skipped = capture.skipped.iter();
    let mut lines: Vec<String> = skipped
        .map(|(why, count)| format!("{} in {name} not drawn: {why}\n", packets(*count)))
        .collect();
    if capture.dropped > 0 {
        let count = packets(capture.dropped);
        lines.push(format!("the capture itself has missed {count}\n"));
    }
    if let Some(fault @ Fault::Cut { .. }) = &capture.fault
        && capture.frames > 0
    {
        lines.push(format!("{name} is {fault}\n"));
    }
    if capture.flows.is_empty() && capture.fault.is_none() {
        let count = packets(capture.frames);
        lines.push(format!("no connections in {name}: it has {count}\n"));
    }
    lines.concat()
}

fn packets(count: u64) -> String {
    match count {
        1 => "1 packet".to_owned(),
        count => format!("{count} packets"),
    }
}
