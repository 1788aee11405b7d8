//! What is typed, line by line, becomes orders and answers.

use sockeye::{Encoding, Kind, Message};

use super::command::{self, Line};
use super::input::{Input, Typed};
use super::pipe::{LOOK, UNREAD, stands_ready};
use super::roster::{Aim, Member, Order};
use super::{Console, screen::Name};
use crate::args::{Eof, Eol};
use crate::report::text::traffic;

/// How typed lines are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// What ends a line; by the carrier when `None`.
    pub(crate) eol: Option<Eol>,
    /// Whether the framing marks the ends of messages.
    pub(crate) framed: bool,
    pub(crate) encoding: Encoding,
    /// What the carrier is told that lines are.
    pub(crate) kind: Kind,
    /// Whether `/` begins a command.
    pub(crate) commands: bool,
}

/// What a carrier that knows text is told that lines in `encoding` are: it knows UTF-8 alone.
pub(crate) fn kind(binary: bool, encoding: Encoding) -> Kind {
    match !binary && encoding == Encoding::UTF_8 {
        true => Kind::Text,
        false => Kind::Binary,
    }
}

impl Lines {
    /// What ends a message for `member`.
    pub(crate) fn eol(&self, packets: bool) -> &'static [u8] {
        let default = if packets || self.framed {
            Eol::None
        } else {
            Eol::Lf
        };
        self.eol.unwrap_or(default).bytes()
    }

    /// Reads `input` to its end and does what it says.
    pub(crate) async fn follow(self, console: &Console, mut input: Input) {
        if !input.is_terminal() {
            // Nothing is read before there is somebody to hear it.
            tokio::select! {
                () = console.roster.somebody() => {}
                () = console.over.cancelled() => return,
            }
        }
        loop {
            let typed = tokio::select! {
                biased;
                typed = input.next() => typed,
                () = console.over.cancelled() => return,
                () = run_dry(console) => {
                    console.screen.tell(UNREAD).await;
                    return console.roster.end().await;
                }
            };
            match typed {
                Some(Typed::Line { text, ended }) => self.take(console, &text, ended).await,
                Some(Typed::Chunk(data)) => {
                    self.say(&console.roster.aimed(), data.into(), console)
                        .await
                }
                Some(Typed::Wrong(why)) => console.screen.tell(&why).await,
                Some(Typed::Interrupt) => {
                    console.screen.interrupt();
                    return console.over.cancel();
                }
                None => return console.roster.end().await,
            }
        }
    }

    async fn take(&self, console: &Console, text: &[u8], ended: bool) {
        let line = if self.commands {
            command::read(text)
        } else {
            Line::Say(text)
        };
        let screen = &console.screen;
        let roster = &console.roster;
        match line {
            Line::Say(text) => self.say_line(&roster.aimed(), text, ended, console).await,
            Line::SayTo(name, text) => match roster.find(name) {
                Ok(member) => self.say_line(&[member], text, true, console).await,
                Err(why) => screen.tell(&why).await,
            },
            Line::Aim(name) => match roster.find(name) {
                Ok(member) => {
                    screen
                        .tell(&format!(
                            "talking to {}; /all talks to everyone again",
                            Name(&member.name)
                        ))
                        .await;
                    roster.aim_at(Aim::One(member.name));
                }
                Err(why) => screen.tell(&why).await,
            },
            Line::AimAtAll => {
                roster.aim_at(Aim::All);
                screen.tell("talking to everyone").await;
            }
            Line::List => list(console).await,
            Line::Close(name) => match roster.find(name) {
                Ok(member) if member.orders.send(Order::Close).await.is_ok() => {
                    let name = Name(&member.name);
                    screen.tell(&format!("closing {name}")).await;
                }
                Ok(member) => {
                    let name = Name(&member.name);
                    screen.tell(&format!("{name} is over already")).await;
                }
                Err(why) => screen.tell(&why).await,
            },
            Line::Quit => console.over.cancel(),
            Line::Help => screen.tell(command::HELP.trim_end()).await,
            Line::Wrong(why) => screen.tell(&why).await,
        }
    }

    async fn say_line(&self, to: &[Member], text: &[u8], ended: bool, console: &Console) {
        // A line that ends in CRLF already has what is asked for.
        let text = match self.eol {
            Some(Eol::Crlf) if ended => text.strip_suffix(b"\r").unwrap_or(text),
            _ => text,
        };
        let text = match std::str::from_utf8(text).map(|text| self.encoding.encode(text)) {
            Ok(Ok(encoded)) => encoded,
            Ok(Err(error)) => return console.screen.tell(&format!("not sent: {error}")).await,
            // Bytes from a pipe that are no text go through as they are.
            Err(_) => text.into(),
        };
        if to.is_empty() {
            return console.screen.tell("not sent: nobody is there").await;
        }
        for member in to {
            let eol = if ended { self.eol(member.packets) } else { b"" };
            let message = Message {
                kind: self.kind,
                ..[&*text, eol].concat().into()
            };
            self.say(std::slice::from_ref(member), message, console)
                .await;
        }
    }

    async fn say(&self, to: &[Member], message: Message, console: &Console) {
        for member in to {
            let order = Order::Say(message.clone());
            if member.orders.send(order).await.is_err() {
                console
                    .screen
                    .tell(&format!(
                        "not sent to {}: the session is over",
                        Name(&member.name)
                    ))
                    .await;
            }
        }
    }
}

/// Returns when everyone has finished and piped input brings nothing more that could be sent to them.
async fn run_dry(console: &Console) {
    if !console.drains || matches!(console.at_end.eof, Eof::Keep(_)) {
        return std::future::pending().await;
    }
    console.roster.finished().await;
    loop {
        tokio::time::sleep(LOOK).await;
        // An input that cannot even be asked brings nothing.
        if !stands_ready().unwrap_or(false) {
            return;
        }
    }
}

async fn list(console: &Console) {
    let members = console.roster.members();
    if members.is_empty() {
        return console.screen.tell("nobody is there").await;
    }
    let aim = console.roster.aim();
    for member in members {
        let mark = match &aim {
            Aim::One(name) if *name != member.name => ' ',
            Aim::One(_) | Aim::All => '*',
        };
        let info = &member.info;
        let line = format!(
            "{mark} {}  {} {} -> {}  {}",
            Name(&member.name),
            info.protocol(),
            info.local(),
            info.peer(),
            traffic(info.counters())
        );
        console.screen.tell(&line).await;
    }
}
