//! `Sec-WebSocket-Extensions`: offered, answered and checked (RFC 6455, section 9.1; RFC 7692, section 7.1).

use std::fmt::Write as _;

use super::{Direction, NAME, Parameters};

/// Why a server's answer cannot be accepted: the client must fail the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answers with the extension {answer:?}, {reason}")]
pub struct NegotiationError {
    answer: String,
    reason: &'static str,
}

const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

impl Parameters {
    /// What a client that wishes this writes into its request.
    #[must_use]
    pub fn offer(&self) -> String {
        // Named also when it wishes the largest: it tells the server that we understand a smaller one.
        let mut offer = self.shown();
        if self.client.window_bits == Direction::FULL.window_bits {
            let _ = write!(offer, "; {CLIENT_BITS}");
        }
        offer
    }

    /// What a server that wishes this answers to what a client has offered, and what then holds. `None`: it
    /// answers nothing, and nothing is compressed. The first offer that can be met is taken (section 5).
    #[must_use]
    pub fn answer(&self, offers: &str) -> Option<(Self, String)> {
        let mut offers = extensions(offers)?.into_iter();
        let terms = offers.find_map(|extension| Terms::read(&extension, true))?;
        let agreed = self.meet(&terms);
        let mut answer = agreed.shown();
        if terms.server_bits == Some(15) && agreed.server.window_bits == 15 {
            // What was asked for must be answered, also when it says nothing (section 7.1.2.1).
            let _ = write!(answer, "; {SERVER_BITS}=15");
        }
        Some((agreed, answer))
    }

    /// What holds when a client that wished this is answered so. `None`: nothing is compressed.
    ///
    /// # Errors
    /// When the answer is not one to our offer; the connection must fail (section 5.1).
    pub fn accept(&self, answer: &str) -> Result<Option<Self>, NegotiationError> {
        let error = |reason| NegotiationError {
            answer: answer.to_owned(),
            reason,
        };
        let extensions = extensions(answer).ok_or_else(|| error("which cannot be read"))?;
        let extension = match &extensions[..] {
            [] => return Ok(None),
            [extension] => extension,
            _ => return Err(error("more than was asked for")),
        };
        let terms = Terms::read(extension, false).ok_or_else(|| error("which was not offered"))?;
        let (ours, theirs) = (self.client, self.server);
        let server_bits = terms.server_bits.unwrap_or(15);
        let client_bits = terms.client_bits.flatten().unwrap_or(ours.window_bits);
        if server_bits > theirs.window_bits
            || client_bits > ours.window_bits
            || !theirs.takeover && !terms.server_frugal
        {
            return Err(error("which is not what was offered"));
        }
        Ok(Some(Self {
            server: Direction {
                takeover: !terms.server_frugal,
                window_bits: server_bits,
            },
            client: Direction {
                takeover: ours.takeover && !terms.client_frugal,
                window_bits: client_bits,
            },
        }))
    }

    /// What holds when a server that wishes this is offered `terms`.
    fn meet(&self, terms: &Terms) -> Self {
        Self {
            server: Direction {
                takeover: self.server.takeover && !terms.server_frugal,
                window_bits: self.server.window_bits.min(terms.server_bits.unwrap_or(15)),
            },
            client: Direction {
                takeover: self.client.takeover && !terms.client_frugal,
                window_bits: match terms.client_bits {
                    // A client that has not named it may not understand it (section 7.1.2.2).
                    None => 15,
                    Some(bits) => self.client.window_bits.min(bits.unwrap_or(15)),
                },
            },
        }
    }

    fn shown(&self) -> String {
        let mut shown = NAME.to_owned();
        for (name, direction) in [
            (SERVER_TAKEOVER, self.server),
            (CLIENT_TAKEOVER, self.client),
        ] {
            if !direction.takeover {
                let _ = write!(shown, "; {name}");
            }
        }
        for (name, direction) in [(SERVER_BITS, self.server), (CLIENT_BITS, self.client)] {
            if direction.window_bits < Direction::FULL.window_bits {
                let _ = write!(shown, "; {name}={}", direction.window_bits);
            }
        }
        shown
    }
}

/// The parameters of one `permessage-deflate`, as they were written.
#[derive(Default)]
struct Terms {
    server_frugal: bool,
    client_frugal: bool,
    server_bits: Option<u8>,
    /// In an offer it may stand without a number.
    client_bits: Option<Option<u8>>,
}

impl Terms {
    /// `None` when it is another extension, or has a parameter that is unknown, repeated or out of range:
    /// an offer like that is declined (section 7.1).
    fn read(extension: &Extension, is_offer: bool) -> Option<Self> {
        if !extension.name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut terms = Self::default();
        let mut seen = Vec::new();
        for (name, value) in &extension.parameters {
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name.as_str(), value) {
                (SERVER_TAKEOVER, None) => terms.server_frugal = true,
                (CLIENT_TAKEOVER, None) => terms.client_frugal = true,
                (SERVER_BITS, Some(value)) => terms.server_bits = Some(window_bits(value)?),
                (CLIENT_BITS, Some(value)) => terms.client_bits = Some(Some(window_bits(value)?)),
                (CLIENT_BITS, None) if is_offer => terms.client_bits = Some(None),
                _ => return None,
            }
        }
        Some(terms)
    }
}

/// 8 to 15, without leading zeros (section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let bits = value
        .parse::<u8>()
        .ok()
        .filter(|bits| (8..=15).contains(bits))?;
    (value == bits.to_string()).then_some(bits)
}

struct Extension {
    name: String,
    parameters: Vec<(String, Option<String>)>,
}

/// `a; b; c=1, d; e="2"`; `None` when it is written otherwise (RFC 6455, section 9.1).
fn extensions(header: &str) -> Option<Vec<Extension>> {
    let mut extensions = Vec::new();
    let mut rest = header;
    loop {
        // Elements of a list may be empty (RFC 9110, section 5.6.1).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(extensions);
        }
        let mut extension = Extension {
            name: token(&mut rest)?,
            parameters: Vec::new(),
        };
        while let Some(after) = rest.strip_prefix(';') {
            rest = after;
            skip_blanks(&mut rest);
            let name = token(&mut rest)?;
            let value = match rest.strip_prefix('=') {
                Some(after) => {
                    rest = after;
                    skip_blanks(&mut rest);
                    Some(value(&mut rest)?)
                }
                None => None,
            };
            extension.parameters.push((name, value));
        }
        extensions.push(extension);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

fn skip_blanks(rest: &mut &str) {
    *rest = rest.trim_start_matches([' ', '\t']);
}

/// A token (RFC 9110, section 5.6.2) and the blanks after it.
fn token(rest: &mut &str) -> Option<String> {
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    let (token, after) = rest.split_at(end);
    *rest = after;
    skip_blanks(rest);
    (!token.is_empty()).then(|| token.to_owned())
}

/// A token, also in quotes.
fn value(rest: &mut &str) -> Option<String> {
    let Some(quoted) = rest.strip_prefix('"') else {
        return token(rest);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                *rest = &quoted[at + 1..];
                skip_blanks(rest);
                let mut inside = value.as_str();
                return token(&mut inside).filter(|token| *token == value);
            }
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(takeover: bool, window_bits: u8) -> Direction {
        Direction {
            takeover,
            window_bits,
        }
    }

    #[test]
    fn a_server_answers_the_first_offer_that_it_understands() {
        for (offers, answer) in [
            ("", None),
            ("x-webkit-deflate-frame", None),
            ("permessage-deflate", Some("permessage-deflate")),
            (" , Permessage-Deflate ,", Some("permessage-deflate")),
            (
                "permessage-deflate; client_max_window_bits",
                Some("permessage-deflate"),
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                Some("permessage-deflate; server_max_window_bits=15"),
            ),
            (
                "permessage-deflate;server_max_window_bits=\"10\" ; client_max_window_bits = 9",
                Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"),
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            ),
            // Declined, one by one: unknown, repeated, out of range, with or without a value that belongs.
            ("permessage-deflate; level=9", None),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits",
                None,
            ),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=010", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            // And the next one is looked at.
            (
                "permessage-deflate; level=9, permessage-deflate; server_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover"),
            ),
            ("permessage-deflate; ", None),
            ("permessage-deflate x", None),
            ("permessage-deflate; server_max_window_bits=\"1", None),
            (
                "permessage-deflate; server_max_window_bits=\"1\\0\"",
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
        ] {
            let answered = Parameters::FULL.answer(offers);
            assert_eq!(
                answered.map(|(_, answer)| answer).as_deref(),
                answer,
                "{offers}"
            );
        }
    }

    #[test]
    fn both_wishes_count_in_a_servers_answer() {
        let wish = Parameters {
            server: direction(false, 12),
            client: direction(false, 11),
        };
        assert_eq!(
            wish.answer("permessage-deflate; client_max_window_bits; server_max_window_bits=13"),
            Some((
                wish,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=12; client_max_window_bits=11"
                    .to_owned()
            ))
        );
        let (agreed, answer) = wish.answer("permessage-deflate").unwrap();
        assert_eq!(agreed.client, direction(false, 15), "it was not named");
        assert!(!answer.contains("client_max_window_bits"), "{answer}");
    }

    #[test]
    fn a_client_offers_and_accepts_no_more_than_that() {
        assert_eq!(
            Parameters::FULL.offer(),
            "permessage-deflate; client_max_window_bits"
        );
        let wish = Parameters {
            server: direction(false, 10),
            client: direction(true, 12),
        };
        assert_eq!(
            wish.offer(),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits=12"
        );
        let agreed = |server, client| Ok(Some(Parameters { server, client }));
        assert_eq!(wish.accept(""), Ok(None));
        assert_eq!(
            wish.accept("permessage-deflate; server_no_context_takeover; server_max_window_bits=9"),
            agreed(direction(false, 9), direction(true, 12))
        );
        assert_eq!(
            Parameters::FULL
                .accept("permessage-deflate; client_max_window_bits=8; client_no_context_takeover"),
            agreed(direction(true, 15), direction(false, 8))
        );
        for answer in [
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=13",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; mystery",
            "permessage-bzip2",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate; =",
        ] {
            let error = wish.accept(answer).unwrap_err().to_string();
            assert!(error.contains(&format!("{answer:?}")), "{error}");
        }
    }

    #[test]
    fn what_a_server_answers_its_client_accepts() {
        let bits = [8, 9, 12, 15];
        let wishes = || {
            bits.into_iter().flat_map(move |server| {
                bits.into_iter().flat_map(move |client| {
                    [(true, true), (true, false), (false, true), (false, false)].map(|(s, c)| {
                        Parameters {
                            server: direction(s, server),
                            client: direction(c, client),
                        }
                    })
                })
            })
        };
        for (client, server) in wishes().flat_map(|a| wishes().map(move |b| (a, b))) {
            let (agreed, answer) = server.answer(&client.offer()).unwrap();
            assert_eq!(
                client.accept(&answer),
                Ok(Some(agreed)),
                "{client:?} {server:?}"
            );
        }
    }
}
