//! What a request's target says about the session: `?room=lobby&name=ann&view=json&after=41`.

use percent_encoding::percent_decode_str;

/// What a session begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) room: Option<String>,
    pub(super) name: Option<String>,
    /// The last line that the client has.
    pub(super) after: Option<u64>,
    pub(super) view: Option<View>,
}

/// How a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// To people.
    Text,
    /// To programs: an object a line.
    Json,
    /// The same as server-sent events.
    Events,
}

impl Query {
    /// Reads what it knows; the rest is for others.
    pub(super) fn read(query: &str) -> Self {
        let mut read = Self::default();
        for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            match name {
                "room" => read.room = Some(value.into_owned()),
                "name" => read.name = Some(value.into_owned()),
                "after" => read.after = value.parse().ok(),
                "view" => {
                    read.view = match &*value {
                        "text" => Some(View::Text),
                        "json" => Some(View::Json),
                        "events" => Some(View::Events),
                        _ => None,
                    }
                }
                _ => {}
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_knows() {
        assert_eq!(Query::read(""), Query::default());
        let read = Query::read("token=x&room=%E9%B1%BC&name=J+D&after=41&view=json&view");
        assert_eq!(read.room.as_deref(), Some("鱼"));
        assert_eq!(read.name.as_deref(), Some("J D"));
        assert_eq!((read.after, read.view), (Some(41), Some(View::Json)));
        assert_eq!(Query::read("after=-1&view=xml").after, None);
    }
}
