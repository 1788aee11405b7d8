//! A person or a script in the rooms of a server: one conversation across all connections that it takes.
//!
//! [`talk`] knows the rooms, [`typed`] reads what is typed, [`show`] writes what was said, [`carry`] keeps the
//! connection. Here is what they share.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sockeye::{Address, DialOptions};
use tokio::time::Instant;
use wire::text::printable;

use crate::console::input::{self, Cut, Input, Known};
use crate::console::screen::{Ends, Form, Screen, Style};
use crate::failure::code;
use crate::signals::Signals;
use crate::terminal::{self, Restored};
use crate::verb::connect::persist;

mod carry;
mod keep;
mod pace;
mod show;
mod talk;
mod typed;

use carry::Ended;
use keep::Keep;
use pace::Pace;
use show::Look;
use talk::{Shown, Talk};
use typed::Typed;

/// Where somebody wants to talk, and as whom.
pub(crate) struct Visit {
    /// The address under which our token is kept.
    pub(crate) known_as: String,
    pub(crate) address: Address,
    pub(crate) options: DialOptions,
    pub(crate) name: Option<String>,
    pub(crate) password: Option<String>,
    /// At least one.
    pub(crate) rooms: Vec<String>,
    pub(crate) json: bool,
    pub(crate) retry: bool,
}

/// Lines that may wait for an acknowledgement; then no more input is read.
const WAITING: usize = 1000;

/// How long an order of the person is waited for before the next line can be typed.
const ANSWER: Duration = Duration::from_secs(1);

/// What [`Screen`] asks for the voices of `connect`, of which there is none here.
const STYLE: Style = Style {
    form: Form::Plain,
    timestamps: false,
    names: false,
    ends: Ends::Line,
    shared: false,
    encoding: None,
};

/// Talks until the person leaves, or the input ends.
pub(crate) async fn run(visit: &Visit, signals: &mut Signals) -> Result<ExitCode> {
    let dialed = tokio::select! {
        dialed = persist(&visit.address, &visit.options, visit.retry) => dialed?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    };
    let _terminal = Restored::at_the_end();
    let known = Known::new(typed::COMMANDS, &prompt(NOTHING, &visit.rooms[0], ""));
    let edited = Input::knowing(&known, "chat_history", |line| !holds_password(line))?;
    let (input, printer) = match edited {
        Some((input, [printer, _])) => (input, Some(printer)),
        None => (Input::piped(Cut::Lines), None),
    };
    let mut client = Client::new(visit, known, input, Screen::start(STYLE, printer));
    let mut session = Some(dialed);
    let ended = loop {
        let Some(carried) = session.take() else {
            break Ok(0);
        };
        match client.converse(carried, signals).await {
            Ended::Left(code) => break Ok(code),
            Ended::Failed(error) => break Err(error),
            Ended::Lost(why) => match client.again(&why, signals).await {
                Ok(again) => session = Some(again),
                Err(Ended::Left(code)) => break Ok(code),
                Err(Ended::Failed(error) | Ended::Lost(error)) => break Err(error),
            },
        }
    };
    match ended {
        Ok(code::INTERRUPTED | code::TERMINATED) => client.screen.finish_soon().await,
        _ => client
            .screen
            .finish()
            .await
            .context("cannot write to standard output")?,
    }
    ended.map(ExitCode::from)
}

/// The mark of a prompt where everything is read: as wide as any other.
const NOTHING: &str = "    ";

fn prompt(mark: &str, room: &str, details: &str) -> String {
    format!("{mark}#{}{}> ", printable(room), printable(details))
}

/// Whether a typed line must not be remembered.
fn holds_password(line: &str) -> bool {
    matches!(typed::read(line, ""), Typed::Order(order) if order.get("password").or_else(|| order.get("resume")).is_some())
}

/// One end of the conversation: ours.
struct Client<'a> {
    visit: &'a Visit,
    talk: Talk,
    look: Look,
    keep: Keep,
    screen: Screen,
    input: Input,
    known: Known,
    /// Whether a person types, and not a program.
    is_person: bool,
    /// The room that the prompt shows, which is where a line goes.
    prompted: String,
    /// The order whose answer the next prompt waits for, and until when.
    awaited: Option<(String, Instant)>,
    /// What was said and is not sent yet, and what is to be sent at once.
    said: VecDeque<Value>,
    orders: VecDeque<Value>,
    pace: Pace,
    /// Since when the input is over, and until when we wait for the rest.
    leaving: Option<Instant>,
    /// Since when we were without a connection, and how many lines waited.
    away: Option<(Instant, usize)>,
}

impl<'a> Client<'a> {
    fn new(visit: &'a Visit, known: Known, input: Input, screen: Screen) -> Self {
        let is_person = input.is_terminal();
        let mut client = Self {
            talk: Talk::new(&visit.rooms, is_person && !visit.json),
            look: Look {
                colors: is_person && terminal::colors(),
                plain: !is_person,
            },
            keep: Keep::of(&visit.known_as, visit.name.as_deref()),
            is_person,
            prompted: visit.rooms[0].clone(),
            awaited: None,
            said: VecDeque::new(),
            orders: VecDeque::new(),
            pace: Pace::new(1.0, 1.0, Instant::now()),
            leaving: None,
            away: None,
            visit,
            screen,
            input,
            known,
        };
        client.talk.resume = client.keep.token();
        client.know();
        client
    }

    /// Whether input is taken: not while too much waits, and not after its end.
    fn reads(&self) -> bool {
        self.leaving.is_none() && self.talk.pending() < WAITING
    }

    /// Does what was typed. Gives how it ended, if it did.
    async fn typed(&mut self, typed: Option<input::Typed>) -> Option<Ended> {
        match typed {
            Some(input::Typed::Line { text, .. }) => match String::from_utf8(text) {
                Ok(line) if self.is_person => self.line(&line).await,
                Ok(line) => self.piped(line.trim_end_matches('\r')),
                Err(_) => {
                    self.talk.refused += 1;
                    self.tell("not said: a line is not UTF-8").await;
                }
            },
            Some(input::Typed::Interrupt) => return Some(Ended::Left(code::INTERRUPTED)),
            Some(input::Typed::Wrong(why)) => self.tell(&why).await,
            Some(input::Typed::Chunk(_)) => {}
            None => self.leave(),
        }
        None
    }

    /// No more input: the rest is waited for.
    fn leave(&mut self) {
        self.leaving
            .get_or_insert_with(|| Instant::now() + carry::LAST_WORDS);
    }

    fn piped(&mut self, line: &str) {
        if let (false, Typed::Say(object)) =
            (line.is_empty(), typed::say(&self.visit.rooms[0], line))
        {
            self.say(object);
        }
    }

    async fn line(&mut self, line: &str) {
        let mut awaits = None;
        match typed::read(line, &self.prompted) {
            Typed::Say(object) => self.say(object),
            Typed::Order(object) => awaits = self.order(object).await,
            Typed::Enter(room) if self.talk.room(&room).is_some() => self.go(&room).await,
            Typed::Enter(room) => {
                awaits = self.order(json!({"do": "join", "room": room})).await;
                if awaits.is_some() {
                    self.talk.current = room;
                }
            }
            Typed::Room(room) => self.go(&room).await,
            Typed::Next => match self.talk.next() {
                Some(room) => self.go(&room).await,
                None => self.tell("everything is read").await,
            },
            Typed::Topic => {
                let topic = self
                    .talk
                    .room(&self.prompted)
                    .map(|room| room.topic.clone());
                match topic.filter(|topic| !topic.is_empty()) {
                    Some(topic) => self.tell(&topic).await,
                    None => self.tell("there is no topic: /topic TEXT sets one").await,
                }
            }
            Typed::Help => self.screen.tell(typed::HELP).await,
            Typed::Quit => self.leave(),
            Typed::Nothing => {}
            Typed::Wrong(why) => self.tell(&why).await,
        }
        self.awaited = awaits.map(|tag| (tag, Instant::now() + ANSWER));
        if self.awaited.is_none() {
            self.prompt();
        }
    }

    fn say(&mut self, object: Value) {
        let object = self.talk.tagged(object, true);
        if self.talk.welcomed {
            self.said.push_back(object);
        }
    }

    /// Sends an order at once; gives its tag.
    async fn order(&mut self, object: Value) -> Option<String> {
        if !self.talk.welcomed {
            self.tell("not connected at the moment: say that again later")
                .await;
            return None;
        }
        let object = self.talk.tagged(object, false);
        let tag = talk::text(&object, "tag");
        self.orders.push_back(object);
        Some(tag)
    }

    async fn go(&mut self, room: &str) {
        match self.talk.go(room) {
            Ok(shown) => {
                let words = format!("you talk in #{room} now");
                self.tell(&words).await;
                self.show(shown).await;
            }
            Err(why) => self.tell(&why).await,
        }
    }

    /// The next line can be typed, in the room that is current now.
    fn prompt(&mut self) {
        self.awaited = None;
        self.talk.current.clone_into(&mut self.prompted);
        self.know();
        self.input.go();
    }

    /// Tells the editor what can be completed and what waits elsewhere. Whether the mark at the prompt is another one.
    fn know(&self) -> bool {
        let unread = self.talk.unread();
        let count = |(_, n): &(&str, u64)| *n;
        let mark = match unread.iter().map(count).sum::<u64>() {
            0 => NOTHING.to_owned(),
            n => format!("{:<4}", format!("({})", n.min(99))),
        };
        let details: Vec<_> = unread
            .iter()
            .map(|(room, n)| format!("#{room} {n}"))
            .collect();
        let details = match &*details.join(", ") {
            "" => String::new(),
            details => format!(" [{details}]"),
        };
        let mut known = self.known.lock();
        known.prompt = prompt(&mark, &self.prompted, &details);
        known.names = self.talk.names().into_iter().map(str::to_owned).collect();
        known.rooms = self.talk.rooms().map(|room| format!("#{room}")).collect();
        let changed = known.mark != mark;
        known.mark = mark;
        changed
    }

    /// Shows what came of an event.
    async fn show(&self, shown: Vec<Shown>) {
        for shown in shown {
            match shown {
                Shown::Line(line) => {
                    let line = self.look.line(&line, &self.talk.current);
                    self.screen.print(line.into_bytes()).await;
                }
                Shown::Note(text) | Shown::Refused(text) => self.tell(&text).await,
            }
        }
    }

    /// Tells the person, or the standard error of a script, what no one said.
    async fn tell(&self, text: &str) {
        if self.visit.json && self.is_person {
            return;
        }
        let lines = text
            .lines()
            .map(|line| self.look.note(line))
            .collect::<Vec<_>>();
        self.screen.tell(&lines.join("\n")).await;
    }

    /// The exit code when all is said.
    fn code(&self) -> u8 {
        match self.talk.refused {
            0 => 0,
            _ if self.is_person => 0,
            _ => code::PEER,
        }
    }
}
