//! Colours for light and dark, and texts that cannot become markup.

use std::borrow::Cow;
use std::fmt::Write;

use crate::event::State;

/// Which colours a picture has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As whoever looks at it prefers.
    #[default]
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// Selectors, the property, and its values for light and dark.
const COLORS: &[(&str, &str, &str, &str)] = &[
    (".bg", "fill", "#ffffff", "#14171c"),
    ("text", "fill", "#1d2430", "#e4e8ee"),
    (".dim,.time", "fill", "#667085", "#98a2b3"),
    (".label,.below,.state", "stroke", "#ffffff", "#14171c"),
    (".plain", "fill", "#98a2b3", "#667085"),
    (".s-closed", "fill", "#c3c9d4", "#4b5565"),
    (".s-open", "fill", "#e8b931", "#d9a514"),
    (".s-up", "fill", "#35a265", "#3fbf7a"),
    (".s-close", "fill", "#e07b39", "#f08c4a"),
    (".s-wait", "fill", "#8a63d2", "#a98bea"),
    (".arrow", "stroke", "#667085", "#98a2b3"),
    (".arrow.syn", "stroke", "#23824d", "#4cd08a"),
    (".arrow.fin", "stroke", "#b25e09", "#f5a550"),
    (".arrow.rst,.cross", "stroke", "#d92d20", "#ff6b5e"),
    (".arrow.data", "stroke", "#1570cd", "#5fb0ff"),
    (".arrow.again", "stroke", "#b42bb8", "#ef82f2"),
    (".label.syn", "fill", "#1c6b40", "#6fe0a3"),
    (".label.fin", "fill", "#934d06", "#f8bd7f"),
    (".label.rst", "fill", "#b42318", "#ff9389"),
    (".label.data", "fill", "#125aa6", "#8fc7ff"),
    (".label.again", "fill", "#8f2292", "#f5acf7"),
    (".below", "fill", "#475467", "#c0c8d4"),
    (".below.step", "fill", "#2f4fc4", "#9fb4ff"),
    (".arrow.dots", "stroke", "#d92d20", "#ff6b5e"),
    (".broken,.bracket,.phase", "stroke", "#98a2b3", "#667085"),
    (".seen", "fill", "#1d2430", "#e4e8ee"),
    (".placed", "fill", "#ffffff", "#14171c"),
    (".placed,.seen", "stroke", "#1d2430", "#e4e8ee"),
    (".hatch", "stroke", "#ffffff", "#14171c"),
];

/// What is the same in the light and in the dark.
const SHAPES: &str = ".name{font-weight:600;font-size:14px}.state{font-weight:600;font-size:11px}\
.expected{font-style:italic;font-weight:400}.label,.below,.state{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}\
.label{font-family:ui-monospace,monospace;font-size:11.5px}.below{font-size:11px}.time{font-family:ui-monospace,monospace;font-size:10.5px}\
.arrow{fill:none;stroke-width:1.3}.arrow.data{stroke-width:2.2}.arrow.again{stroke-width:2}.arrow.dots{stroke-dasharray:1 5;stroke-width:1.5}\
.cross{fill:none;stroke-width:2.4}.broken,.bracket{fill:none;stroke-width:1.3}.phase{fill:none;stroke-dasharray:2 5}\
.placed,.seen{stroke-width:1.2}";

/// The head of arrows, and what lies over a state that is only expected.
pub(super) const DEFINITIONS: &str = r#"<defs>
<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path fill="context-stroke" d="M0 1L10 5L0 9z"/></marker>
<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V5" stroke-width="5"/></pattern>
</defs>
"#;

impl Theme {
    pub(crate) fn css(self) -> String {
        let list = |dark: bool| {
            COLORS.iter().fold(
                String::new(),
                |mut css, (selector, property, light, night)| {
                    let value = if dark { night } else { light };
                    let _ = write!(css, "{selector}{{{property}:{value}}}");
                    css
                },
            )
        };
        let colors = match self {
            Self::Light => list(false),
            Self::Dark => list(true),
            Self::Auto => format!(
                "{}@media(prefers-color-scheme:dark){{{}}}",
                list(false),
                list(true)
            ),
        };
        format!("{SHAPES}{colors}")
    }
}

/// How a state is coloured.
pub(super) fn class_of(state: State) -> &'static str {
    match state {
        State::Closed | State::Listen => "s-closed",
        State::SynSent | State::SynReceived => "s-open",
        State::Established => "s-up",
        State::FinWait1 | State::FinWait2 | State::CloseWait | State::Closing | State::LastAck => {
            "s-close"
        }
        State::TimeWait => "s-wait",
    }
}

/// As text in markup.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '>', '&', '"', '\'']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
}
