//! What an announcement says besides where: the strings of its TXT record (RFC 6763, section 6).

use mdns_sd::TxtProperties;

/// The version of these strings, which stands in each announcement.
const VERSION: &str = "1";

/// What is served. Read from an announcement it is a stranger's word: nothing of it is verified, and it may hold anything
/// that is text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name of the service, `chat` or `echo`.
    pub service: Option<String>,
    /// The room of a chat that people are to meet in.
    pub room: Option<String>,
    /// How it can be spoken to: schemes of addresses.
    pub schemes: Vec<String>,
    /// Where its page is, if it has one for browsers.
    pub path: Option<String>,
}

impl Facts {
    pub(super) fn strings(&self) -> Vec<(&'static str, String)> {
        let schemes = (!self.schemes.is_empty()).then(|| self.schemes.join(","));
        let strings = [
            // First, so that whoever reads an old version knows at once (section 6.7).
            ("txtvers", Some(VERSION.to_owned())),
            ("service", self.service.clone()),
            ("room", self.room.clone()),
            ("schemes", schemes),
            ("path", self.path.clone()),
        ];
        let given = strings
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        given.collect()
    }

    pub(super) fn read(strings: &TxtProperties) -> Self {
        let text = |key| {
            let text = strings.get_property_val_str(key)?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let schemes = text("schemes").unwrap_or_default();
        let schemes = schemes.split(',').filter(|scheme| !scheme.is_empty());
        Self {
            service: text("service"),
            room: text("room"),
            schemes: schemes.map(str::to_owned).collect(),
            path: text("path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::IntoTxtProperties;

    use super::*;

    fn read(strings: &[(&str, &str)]) -> Facts {
        Facts::read(&strings.into_txt_properties())
    }

    #[test]
    fn what_is_written_is_read() {
        let facts = Facts {
            service: Some("chat".to_owned()),
            room: Some("大厅".to_owned()),
            schemes: vec!["tcp".to_owned(), "http".to_owned()],
            path: Some("/".to_owned()),
        };
        let strings = facts.strings();
        assert_eq!(strings[0], ("txtvers", "1".to_owned()));
        assert_eq!(Facts::read(&strings[..].into_txt_properties()), facts);
        let nothing = Facts::default();
        assert_eq!(nothing.strings(), [("txtvers", "1".to_owned())]);
        assert_eq!(
            Facts::read(&nothing.strings()[..].into_txt_properties()),
            nothing
        );
    }

    #[test]
    fn strangers_may_say_less_and_more() {
        assert_eq!(read(&[]), Facts::default());
        let facts = read(&[("colour", "blue"), ("schemes", ",tcp,,ws"), ("room", "")]);
        assert_eq!(facts.schemes, ["tcp", "ws"]);
        assert_eq!((facts.room, facts.service), (None, None));
    }
}
