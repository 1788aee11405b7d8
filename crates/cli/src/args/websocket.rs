//! WebSocket, at either end.

use std::time::Duration;

use clap::Args;
use sockeye::WsSettings;

use super::values::time;

/// What both ends can say about WebSocket sessions.
#[derive(Debug, Args)]
#[command(next_help_heading = "WebSocket")]
pub(crate) struct WebSocketArgs {
    /// A subprotocol: offered, or taken if it is offered (repeatable)
    #[arg(long, value_name = "NAME", value_parser = token)]
    pub(crate) protocol: Vec<String>,
    /// Compress messages if the peer can (permessage-deflate)
    #[arg(long)]
    pub(crate) compress: bool,
    /// After how much silence the peer is pinged; two pings without an answer, or three such times without taking anything, end the session (0: never)
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = time)]
    pub(crate) ping_interval: Duration,
    /// The code of our close frame: 1000, 1001, 3000 to 4999 …
    #[arg(long, value_name = "CODE", value_parser = close_code)]
    pub(crate) close_code: Option<u16>,
    /// The reason in our close frame
    #[arg(long, value_name = "TEXT", requires = "close_code")]
    pub(crate) close_reason: Option<String>,
}

impl WebSocketArgs {
    /// `origins`: those whose pages a server lets in.
    pub(crate) fn settings(&self, origins: Vec<String>) -> WsSettings {
        let reason = self.close_reason.clone().unwrap_or_default();
        WsSettings {
            protocols: self.protocol.clone(),
            origins,
            compress: self.compress,
            ping_interval: Some(self.ping_interval).filter(|interval| !interval.is_zero()),
            close: self.close_code.map(|code| (code, reason)),
        }
    }
}

/// A token (RFC 9110, section 5.6.2), as subprotocols are (RFC 6455, section 4.1).
fn token(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("write a name of letters, digits and !#$%&'*+-.^_`|~".to_owned()),
    }
}

/// What a close frame may say (RFC 6455, section 7.4).
fn close_code(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(code) if wire::websocket::Close::may_say(code) => Ok(code),
        _ => Err("write 1000 to 1003, 1007 to 1014, or 3000 to 4999".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_subprotocols() {
        assert_eq!(token("v1.chat+json").as_deref(), Ok("v1.chat+json"));
        for wrong in ["", "a b", "a,b", "a/b", "ü"] {
            assert!(token(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn close_codes() {
        assert_eq!(close_code("1000"), Ok(1000));
        assert_eq!(close_code("4999"), Ok(4999));
        for wrong in ["", "999", "1005", "1006", "2000", "5000", "70000", "x"] {
            assert!(close_code(wrong).is_err(), "{wrong}");
        }
    }
}
