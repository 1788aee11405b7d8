//! What the parser refuses, told in one line like every other failure.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Usage;

/// `there is no option --fram (did you mean --frame?)`
pub(crate) fn refusal(error: &Error) -> Usage {
    let what = what(error);
    Usage(match hint(error) {
        Some(hint) => format!("{what} ({hint})"),
        None => what,
    })
}

fn what(error: &Error) -> String {
    let of = |kind| parts(error, kind).join(", ");
    let (flag, value) = (of(ContextKind::InvalidArg), of(ContextKind::InvalidValue));
    match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with('-') => format!("there is no option {flag}"),
        ErrorKind::UnknownArgument => format!("`{flag}` is one word too many"),
        ErrorKind::InvalidSubcommand => {
            format!(
                "there is no command `{}`",
                of(ContextKind::InvalidSubcommand)
            )
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("no value for {flag}"),
        ErrorKind::InvalidValue => {
            let known = of(ContextKind::ValidValue);
            format!("{flag} cannot be `{value}`: there are {known}")
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            format!(
                "cannot read `{value}` as {flag}: {}",
                why.unwrap_or_default()
            )
        }
        ErrorKind::TooManyValues => format!("{flag} takes no value such as `{value}`"),
        ErrorKind::MissingRequiredArgument => format!("missing: {flag}"),
        ErrorKind::ArgumentConflict => match of(ContextKind::PriorArg) {
            prior if prior == flag => format!("{flag} is there twice"),
            prior => format!("{flag} does not go with {prior}"),
        },
        ErrorKind::InvalidUtf8 => "an address, a name or a text is no UTF-8".to_owned(),
        // The parser's own words without its `error: `, up to the first blank line.
        _ => {
            let text = error.render().to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<_> = first.split_whitespace().collect();
            words.join(" ").trim_start_matches("error: ").to_owned()
        }
    }
}

/// What was probably meant, or where to read about it.
fn hint(error: &Error) -> Option<String> {
    let suggested = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let meant: Vec<_> = suggested
        .into_iter()
        .flat_map(|kind| parts(error, kind))
        .collect();
    if !meant.is_empty() {
        return Some(format!("did you mean {}?", meant.join(" or ")));
    }
    // Such as "to pass '--x' as a value, use '-- --x'".
    if let Some(tip) = parts(error, ContextKind::Suggested).into_iter().next() {
        return Some(tip.replace('\'', "`"));
    }
    // A value that was refused is told what it should be.
    let usage = match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => None,
        _ => parts(error, ContextKind::Usage).into_iter().next(),
    }?;
    let verbs = usage.split_whitespace().skip(1);
    let verbs: Vec<_> = verbs
        .take_while(|word| word.starts_with(char::is_alphabetic))
        .collect();
    Some(format!("`{} --help` tells more", verbs.join(" ")))
}

fn parts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(part)) => vec![part.clone()],
        Some(ContextValue::Strings(parts)) => parts.clone(),
        Some(ContextValue::StyledStr(part)) => vec![part.to_string()],
        Some(ContextValue::StyledStrs(parts)) => parts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}
