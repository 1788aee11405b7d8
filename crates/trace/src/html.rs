//! All flows on one page that needs nothing else: to zoom, and to ask every arrow.

use crate::file::Capture;
use crate::svg::{Theme, escaped, svg};

const PAGE: &str = include_str!("page.html");

/// The page with the flows of `capture`, which `source` tells of: all of them, or those whose numbers are given.
#[must_use]
pub fn html(capture: &Capture, source: &str, theme: Theme, all: bool, only: &[usize]) -> String {
    let mut flows = String::new();
    for (number, flow) in capture.flows.iter().enumerate() {
        if !only.is_empty() && !only.contains(&number) {
            continue;
        }
        let picture = svg(flow, source, theme, all).replace("url(#", &format!("url(#f{number}-"));
        // A page has one name for one thing.
        let picture = picture.replace("id=\"h", &format!("id=\"f{number}-h"));
        flows.push_str("<section><nav>");
        flows.push_str(&format!("<span>flow {number}</span>"));
        flows.push_str("<button class=\"in\">+</button><button class=\"out\">−</button>");
        flows.push_str("<button class=\"fit\">fit</button></nav>\n");
        flows.push_str(&picture);
        flows.push_str("<pre></pre></section>\n");
    }
    PAGE.replace("{title}", &escaped(source))
        .replace("{flows}", &flows)
}
