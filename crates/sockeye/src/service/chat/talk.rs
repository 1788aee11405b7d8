//! One session of a chat, from its first word to its last.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use wire::framing::Framing;

use super::cutter::{Cut, Cutter, LONGEST};
use super::json::{self, Tagged};
use super::outlet::Outlet;
use super::query::{Query, View};
use super::reply::Reply;
use super::text::{self, Eyes};
use crate::error::{Error, Operation, Result};
use crate::hub::{Await, Member, News, Refusal, Why};
use crate::session::{Message, Session};

/// How many lines of one session may be on their way to safety.
const ON_THEIR_WAY: usize = 64;
/// How much news are written before they leave.
const BATCH: usize = 256;
/// Rooms that people are in at first.
pub(super) const LOBBY: &str = "lobby";

pub(super) struct Talk {
    pub(super) session: Session,
    pub(super) member: Member,
    pub(super) query: Query,
    pub(super) view: View,
    outlet: Outlet,
    pub(super) cutter: Cutter,
    /// Lines on their way to safety, in their order.
    pub(super) keeping: Option<Box<Keeping>>,
    /// Lines of people have no tags of their own.
    said: u64,
    /// The room that is meant where none is said.
    pub(super) current: Option<String>,
    /// Whether it has been told who it is.
    pub(super) is_welcome: bool,
    /// Whether a program has been told of its rooms. One that was taken for a person has not.
    pub(super) has_entered: bool,
    /// Whether its peer has said anything.
    has_heard: bool,
}

/// By what a session knows itself in what is told.
pub(super) struct Reader {
    name: Arc<str>,
    tags: String,
}

pub(super) type Keeping = FuturesOrdered<Pin<Box<dyn Future<Output = Kept> + Send>>>;

/// A line that is safe, or not.
pub(super) type Kept = (std::result::Result<Reply, Refusal>, Option<String>);

/// What happens next.
enum Step {
    Received(Option<Message>),
    Kept(Kept),
    News(News),
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    Yes,
    /// It is over, for this reason.
    End,
}

impl Talk {
    pub(super) fn new(member: Member, session: Session, query: Query) -> Self {
        Self {
            outlet: Outlet::new(&session, || format!("{:06x}", member.nonce() >> 40)),
            view: query.view.unwrap_or(View::Text),
            session,
            member,
            query,
            cutter: Cutter::default(),
            keeping: None,
            said: 0,
            current: None,
            is_welcome: false,
            has_entered: false,
            has_heard: false,
        }
    }

    pub(super) async fn run(mut self) -> Result<()> {
        self.session.reframe(Framing::Raw);
        if self.view != View::Text {
            self.outlet.speak_json();
        }
        let mut onward = Box::pin(self.begin()).await?;
        let mut listening = true;
        while onward == Onward::Yes {
            self.flush().await?;
            onward = match self.step(listening).await? {
                Step::Received(Some(message)) => Box::pin(self.heard(message)).await?,
                Step::Received(None) => {
                    listening = false;
                    Box::pin(self.heard_all()).await?
                }
                Step::Kept(kept) => self.kept(kept).await?,
                Step::News(news) => self.tell(news).await?,
            };
        }
        self.session.close().await
    }

    /// Whoever has said something already says in what they want to talk; others are greeted.
    async fn begin(&mut self) -> Result<Onward> {
        let first = tokio::select! {
            biased;
            first = self.session.recv() => first?,
            () = std::future::ready(()) => {
                self.welcome().await?;
                return Ok(Onward::Yes);
            }
        };
        match first {
            Some(message) => self.heard(message).await,
            None => {
                self.welcome().await?;
                self.heard_all().await
            }
        }
    }

    async fn step(&mut self, listening: bool) -> Result<Step> {
        let Self {
            session,
            member,
            keeping,
            outlet,
            ..
        } = self;
        let on_their_way = keeping.as_ref().map_or(0, |keeping| keeping.len());
        let kept = async {
            match keeping {
                Some(keeping) => keeping.next().await,
                None => None,
            }
        };
        Ok(tokio::select! {
            received = session.recv(), if listening && on_their_way < ON_THEIR_WAY => Step::Received(received?),
            Some(kept) = kept, if on_their_way > 0 => Step::Kept(kept),
            news = member.news(), if outlet.takes_news() => Step::News(news),
        })
    }

    pub(super) async fn heard(&mut self, message: Message) -> Result<Onward> {
        let word = self.outlet.heard(&self.session, &message);
        let is_first = !std::mem::replace(&mut self.has_heard, true);
        if is_first && self.view == View::Text && json::is_spoken(first_line(&message.data)) {
            self.speak_json();
        }
        if let Some(word) = word {
            for line in self.written(&Reply::Again(word), None) {
                self.outlet.challenge(&mut self.session, &line).await?;
            }
        }
        // What waits may leave for what came.
        self.send(Vec::new()).await?;
        if !self.is_welcome && self.view == View::Text {
            self.welcome().await?;
        }
        let encoding = self.outlet.encoding(&message);
        let ends = self.session.keeps_boundaries();
        self.cutter.push(message.data);
        while let Some(cut) = self.cutter.next() {
            if self.line(cut, encoding).await? == Onward::End {
                return Ok(Onward::End);
            }
        }
        match ends.then(|| self.cutter.finish()).flatten() {
            Some(cut) => self.line(cut, encoding).await,
            None => Ok(Onward::Yes),
        }
    }

    fn speak_json(&mut self) {
        self.view = View::Json;
        self.outlet.speak_json();
    }

    /// One line of the peer's.
    pub(super) async fn line(
        &mut self,
        cut: Cut,
        encoding: wire::text::Encoding,
    ) -> Result<Onward> {
        let line = match cut {
            Cut::Line(line) => line,
            Cut::TooLong(length) => {
                let text = format!("{length} bytes are too long: nothing of it was said");
                self.refuse(Why::Length.because(text), None).await?;
                return Ok(Onward::Yes);
            }
        };
        let asked = match self.view {
            View::Text => match encoding.decode(&line) {
                Ok(line) => text::read(&line).map(|ask| ask.map(|ask| Tagged { ask, tag: None })),
                Err(error) => Err(Why::Malformed.because(error.to_string())),
            }
            .map_err(|refusal| (refusal, None)),
            View::Json | View::Events if line.trim_ascii().is_empty() => Ok(None),
            View::Json | View::Events => json::read(&line).map(Some),
        };
        match asked {
            Ok(None) => Ok(Onward::Yes),
            Ok(Some(Tagged { ask, tag })) => match self.carry_out(ask, tag.as_deref()).await? {
                Ok(onward) => Ok(onward),
                Err(refusal) => {
                    self.refuse(refusal, tag.as_deref()).await?;
                    Ok(Onward::Yes)
                }
            },
            Err((refusal, tag)) => {
                self.refuse(refusal, tag.as_deref()).await?;
                Ok(Onward::Yes)
            }
        }
    }

    /// The answer follows when the line is safe.
    pub(super) fn await_kept(&mut self, kept: Await, room: String, tag: Option<&str>) {
        let tag = tag.map(str::to_owned);
        let keeping = self.keeping.get_or_insert_default();
        keeping.push_back(Box::pin(async move {
            let kept = kept.await.map(|receipt| Reply::Done {
                line: Some((room.into(), receipt.id)),
                is_kept: false,
            });
            (kept, tag)
        }));
    }

    pub(super) async fn kept(&mut self, (kept, tag): Kept) -> Result<Onward> {
        let reply = kept.unwrap_or_else(Reply::Refused);
        self.answer(reply, tag.as_deref()).await?;
        if self
            .keeping
            .as_ref()
            .is_some_and(|keeping| keeping.is_empty())
        {
            self.keeping = None;
        }
        Ok(Onward::Yes)
    }

    /// Tells what is new, and what else is by now.
    pub(super) async fn tell(&mut self, first: News) -> Result<Onward> {
        let mut next = Some(first);
        let reader = self.reader();
        let mut lines = Vec::new();
        let mut told = Vec::new();
        let mut bye = None;
        while let Some(news) = next {
            if matches!(news, News::Bye(_)) {
                bye = Some(news);
                break;
            }
            self.write(&reader, &news, &mut lines);
            match news {
                News::Told(news) => told.push(news),
                News::Parted { room, .. } => self.leave_current(&room),
                _ => {}
            }
            next = (lines.len() < BATCH)
                .then(|| self.member.try_news())
                .flatten();
        }
        self.send(lines).await?;
        self.flush().await?;
        for told in told {
            self.member.told(&told).await;
        }
        let Some(bye) = bye else {
            return Ok(Onward::Yes);
        };
        Box::pin(self.part(bye)).await?;
        Ok(Onward::End)
    }

    /// Gives the carrier lines, unless that takes longer than the hub allows.
    pub(super) async fn send(&mut self, lines: Vec<Bytes>) -> Result<()> {
        let sent = tokio::select! {
            sent = self.outlet.send(&mut self.session, lines) => Some(sent),
            () = self.member.falls_behind() => None,
        };
        sent.unwrap_or_else(|| Err(self.is_too_slow()))
    }

    /// Waits until the carrier has taken what was said, as long as that.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let flushed = tokio::select! {
            flushed = self.session.flush() => Some(flushed),
            () = self.member.falls_behind() => None,
        };
        flushed.unwrap_or_else(|| Err(self.is_too_slow()))
    }

    fn is_too_slow(&self) -> Error {
        Error::Protocol {
            operation: Operation::Send,
            address: self.session.info().peer().to_string(),
            reason: "it reads more slowly than people write".to_owned(),
        }
    }

    /// Who reads, looked up once for many lines.
    pub(super) fn reader(&self) -> Reader {
        Reader {
            name: self.member.name(),
            tags: self.tags(),
        }
    }

    pub(super) fn write(&self, reader: &Reader, news: &News, out: &mut Vec<Bytes>) {
        match self.view {
            View::Text => self.eyes(reader).news(news, out),
            View::Json => json::news(news, &reader.name, out),
            View::Events => {
                let mut lines = Vec::new();
                json::news(news, &reader.name, &mut lines);
                let lines = lines.iter().enumerate();
                out.extend(lines.map(|(at, object)| event(news.line(at), object)));
            }
        }
    }

    fn written(&self, reply: &Reply, tag: Option<&str>) -> Vec<Bytes> {
        let mut out = Vec::new();
        let reader = self.reader();
        match self.view {
            View::Text => self.eyes(&reader).reply(reply, &mut out),
            View::Json => out.push(json::reply(reply, tag, &reader.name)),
            View::Events => out.push(event(None, &json::reply(reply, tag, &reader.name))),
        }
        out
    }

    fn eyes<'a>(&'a self, reader: &'a Reader) -> Eyes<'a> {
        Eyes {
            current: self.current.as_deref(),
            name: &reader.name,
            tags: &reader.tags,
            joins: !self.session.keeps_boundaries(),
        }
    }

    pub(super) async fn answer(&mut self, reply: Reply, tag: Option<&str>) -> Result<()> {
        let lines = self.written(&reply, tag);
        self.send(lines).await
    }

    async fn refuse(&mut self, refusal: Refusal, tag: Option<&str>) -> Result<()> {
        self.answer(Reply::Refused(refusal), tag).await
    }

    /// What the tags of its lines begin with, where the peer gives them none.
    pub(super) fn tags(&self) -> String {
        format!("~{:x}.", self.member.nonce())
    }

    pub(super) fn next_tag(&mut self) -> String {
        self.said += 1;
        format!("{}{}", self.tags(), self.said)
    }

    /// The peer says the word that was sent to where it says it is.
    pub(super) async fn prove(
        &mut self,
        word: &str,
    ) -> Result<std::result::Result<Reply, Refusal>> {
        Ok(match self.outlet.prove(&mut self.session, word).await? {
            None => Err(Why::Password.because("that is not what was sent to your address")),
            Some(true) => Ok(Reply::Notice(
                "you hear everything now; some answers were left out, because too much waited",
            )),
            Some(false) if self.view == View::Text => Ok(Reply::Notice("you hear everything now")),
            Some(false) => Ok(Reply::Pong),
        })
    }

    pub(super) fn leave_current(&mut self, room: &str) {
        if self.current.as_deref() == Some(room) {
            self.current = self.member.rooms().last().map(|room| room.to_string());
        }
    }
}

/// Enough to know whether it is JSON.
fn first_line(data: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', data).unwrap_or(data.len());
    &data[..end.min(LONGEST)]
}

/// An object as a server-sent event, with the id of its line.
fn event(line: Option<u64>, object: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(object);
    match line {
        Some(id) => format!("id: {id}\ndata: {text}\n").into(),
        None => format!("data: {text}\n").into(),
    }
}
