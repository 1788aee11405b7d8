//! What a server tells about its sessions, on standard error.

use std::sync::Arc;

use sockeye::{
    Answered, Direction, Ending, Error, Info, Listening, Message, Observer, OwnCertificate,
};

pub(crate) mod announce;
mod answer;
pub(crate) mod conversation;
pub(crate) mod json;
mod log;
pub(crate) mod nearby;
pub(crate) mod qr;
pub(crate) mod text;
pub(crate) mod timing;
pub(crate) mod write_out;

pub(crate) use log::Log;

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Hex,
    Json,
}

/// Hears of sessions and writes lines.
#[derive(Debug)]
pub(crate) struct Reporter {
    log: Log,
    form: Form,
    messages: bool,
}

impl Reporter {
    pub(crate) fn new(log: Log, form: Form, messages: bool) -> Arc<Self> {
        Arc::new(Self {
            log,
            form,
            messages,
        })
    }

    pub(crate) fn listening(&self, listening: &Listening) {
        self.log.write(match self.form {
            Form::Json => json::listening(listening),
            Form::Text | Form::Hex => {
                format!("listening {} {}\n", listening.protocol, listening.at)
            }
        });
    }

    /// Who a server is, for those who want to be sure.
    pub(crate) fn certificate(&self, own: &OwnCertificate) {
        self.log.write(match self.form {
            Form::Json => json::own_certificate(own),
            Form::Text | Form::Hex => format!("{}\n", text::own_certificate(own)),
        });
    }

    /// A line for a person; with `--json` there is no person.
    pub(crate) fn hint(&self, text: &str) {
        if self.form != Form::Json {
            self.log.write(format!("{text}\n"));
        }
    }
}

impl Observer for Reporter {
    fn opened(&self, info: &Arc<Info>) {
        self.log.write(match self.form {
            Form::Json => json::opened(info),
            Form::Text | Form::Hex if self.messages => {
                text::opened(info) + &text::secured(info, &format!(" #{}", info.id()))
            }
            Form::Text | Form::Hex => text::opened(info),
        });
    }

    fn message(&self, info: &Info, direction: Direction, message: &Message) {
        self.log.write(match self.form {
            Form::Json => json::message(info, direction, message),
            Form::Hex => text::dump(info, direction, message),
            Form::Text => text::message(info, direction, message),
        });
    }

    fn wants_messages(&self) -> bool {
        self.messages
    }

    fn closed(&self, info: &Info, ending: &Ending) {
        self.log.write(match self.form {
            Form::Json => json::closed(info, ending),
            Form::Text | Form::Hex => text::closed(info, ending),
        });
    }

    fn answered(&self, answered: &Answered<'_>) {
        if self.form != Form::Json && !self.messages && answer::is_piece(answered) {
            return;
        }
        self.log.write(match self.form {
            Form::Json => json::answered(answered),
            Form::Text | Form::Hex => answer::line(answered),
        });
    }

    fn trouble(&self, error: &Error) {
        self.note(&error.to_string());
    }

    fn note(&self, what: &str) {
        self.log.write(match self.form {
            Form::Json => json::note(what),
            Form::Text | Form::Hex => format!("note: {}\n", wire::text::printable(what)),
        });
    }
}
