//! The connection that carries a conversation: made, watched, lost and made again.

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::{Message, Sender, Session, dial};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wire::text::printable;

use super::pace::Pace;
use super::{Client, talk};
use crate::failure::{self, Timeout, code};
use crate::report::text;
use crate::signals::Signals;
use crate::verb::connect::jitter;

/// How a connection, or the conversation, ended.
pub(super) enum Ended {
    /// By us: the exit code.
    Left(u8),
    /// There is no use in going on.
    Failed(anyhow::Error),
    /// The connection is gone, and the conversation is not.
    Lost(anyhow::Error),
}

/// After the end of input, so long is waited for what is not acknowledged.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(30);

/// A connection that said nothing for this long is asked whether it lives, and has as long again.
const QUIET: Duration = Duration::from_secs(25);

/// Where datagrams get lost, what is not answered is said again after this long.
const PATIENCE: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What is known of one connection.
struct Line {
    /// Its messages have boundaries, and may get lost.
    packets: bool,
    lossy: bool,
    heard: Instant,
    /// When we last asked for a sign of life, or said something again.
    asked: Instant,
    /// We have said that we leave.
    quits: bool,
}

impl Client<'_> {
    /// Talks over `session` until one of both is over.
    pub(super) async fn converse(&mut self, session: Session, signals: &mut Signals) -> Ended {
        if self.away.is_none() && self.is_person {
            self.tell(text::connected(session.info()).trim_end()).await;
        }
        let now = Instant::now();
        let mut line = Line {
            packets: session.keeps_boundaries(),
            lossy: matches!(session.info().protocol(), "udp" | "unixgram"),
            heard: now,
            asked: now,
            quits: false,
        };
        let (mut receiver, mut sender) = session.split();
        self.greet();
        let ended = loop {
            if let Err(error) = self.send(&mut sender, &line).await {
                break Ended::Lost(error.into());
            }
            if let Some(ended) = self.is_over(&mut line) {
                match ended {
                    Ok(()) => continue,
                    Err(ended) => break ended,
                }
            }
            let wake = self.wake(&line);
            let reads = self.reads();
            tokio::select! {
                biased;
                code = signals.next() => break Ended::Left(code),
                received = receiver.recv() => match received {
                    Ok(Some(message)) => {
                        line.heard = Instant::now();
                        line.asked = line.heard;
                        if let Err(ended) = self.message(&message).await {
                            break ended;
                        }
                    }
                    Ok(None) | Err(_) if line.quits => break Ended::Left(self.code()),
                    Ok(None) => break Ended::Lost(anyhow::anyhow!("the server closed the connection")),
                    Err(error) => break Ended::Lost(error.into()),
                },
                typed = self.input.next(), if reads => {
                    if let Some(ended) = self.typed(typed).await {
                        break ended;
                    }
                }
                () = self.screen.gone().cancelled() => break Ended::Left(self.code()),
                () = sleep_until(wake) => {
                    if let Err(ended) = self.late(&mut line) {
                        break ended;
                    }
                }
            }
        };
        if !matches!(ended, Ended::Lost(_)) {
            // A peer that takes nothing any more goes without it.
            let _ = timeout(GOODBYE, sender.finish()).await;
        }
        ended
    }

    /// A new connection, after pauses that grow; what is typed meanwhile is kept.
    pub(super) async fn again(
        &mut self,
        why: &anyhow::Error,
        signals: &mut Signals,
    ) -> Result<Session, Ended> {
        let since = Instant::now();
        let unsure = self.talk.broken();
        self.said.clear();
        self.orders.clear();
        self.show(unsure).await;
        let why = failure::line(why);
        let why = why.strip_prefix("sockeye: ").unwrap_or(&why);
        self.tell(&format!(
            "connection lost ({why}); trying again, what you say is kept"
        ))
        .await;
        if self.awaited.is_some() {
            self.prompt();
        }
        let visit = self.visit;
        let mut pause = FIRST_PAUSE;
        loop {
            let delay = pause + jitter(pause);
            let attempt = async {
                sleep(delay).await;
                dial(&visit.address, &visit.options).await
            };
            tokio::pin!(attempt);
            let dialed = loop {
                let reads = self.reads();
                let limit = self.leaving.unwrap_or(since + Duration::from_secs(1 << 30));
                tokio::select! {
                    dialed = &mut attempt => break dialed,
                    code = signals.next() => return Err(Ended::Left(code)),
                    typed = self.input.next(), if reads => match self.typed(typed).await {
                        Some(ended) => return Err(ended),
                        None if self.leaving.is_some() && self.is_person => return Err(self.gave_up()),
                        None => {}
                    },
                    () = self.screen.gone().cancelled() => return Err(Ended::Left(self.code())),
                    () = sleep_until(limit) => return Err(self.gave_up()),
                }
            };
            match dialed.map_err(anyhow::Error::from) {
                Ok(session) => {
                    self.away = Some((since, self.talk.pending()));
                    return Ok(session);
                }
                Err(error) if is_passing(&error) => pause = (pause * 2).min(LONGEST_PAUSE),
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
    }

    /// Leaves with lines that nobody has acknowledged, or without.
    fn gave_up(&self) -> Ended {
        match self.talk.pending() {
            0 => Ended::Left(self.code()),
            n => {
                let lines = text::count(n as u64, "line");
                Ended::Failed(Timeout(format!("the server has not acknowledged {lines}")).into())
            }
        }
    }

    fn greet(&mut self) {
        let Self { talk, visit, .. } = self;
        let hello = talk.hello(visit.name.as_deref(), visit.password.as_deref());
        self.orders.push_front(hello);
    }

    async fn send(&mut self, sender: &mut Sender, line: &Line) -> sockeye::Result<()> {
        while let Some(object) = self.orders.pop_front() {
            put(sender, line, &object).await?;
        }
        while self.talk.welcomed && !self.said.is_empty() && self.pace.take(Instant::now()) {
            if let Some(object) = self.said.pop_front() {
                put(sender, line, &object).await?;
            }
        }
        Ok(())
    }

    /// Whether we leave, and are done: then it is said once, and the answer is waited for.
    fn is_over(&mut self, line: &mut Line) -> Option<Result<(), Ended>> {
        let limit = self.leaving?;
        if line.quits {
            return None;
        }
        if Instant::now() >= limit {
            return Some(Err(self.gave_up()));
        }
        let has_heard_all = line.lossy || self.is_person || self.talk.is_up_to_date();
        if !self.talk.welcomed || self.talk.pending() > 0 || !has_heard_all {
            return None;
        }
        line.quits = true;
        self.leaving = Some(Instant::now() + GOODBYE);
        self.orders.push_back(json!({"do": "quit"}));
        Some(Ok(()))
    }

    /// When something is to be done though nothing comes.
    fn wake(&self, line: &Line) -> Instant {
        let patience = if line.lossy && (!self.talk.welcomed || self.talk.pending() > 0) {
            PATIENCE
        } else {
            QUIET
        };
        let speaks = (self.talk.welcomed && !self.said.is_empty()).then(|| self.pace.next());
        let awaited = self.awaited.as_ref().map(|(_, until)| *until);
        let all = [Some(line.asked + patience), speaks, awaited, self.leaving];
        all.into_iter()
            .flatten()
            .min()
            .unwrap_or(line.asked + QUIET)
    }

    fn late(&mut self, line: &mut Line) -> Result<(), Ended> {
        let now = Instant::now();
        if self
            .awaited
            .as_ref()
            .is_some_and(|(_, until)| *until <= now)
        {
            self.prompt();
        }
        if let (true, Some(limit)) = (line.quits, self.leaving)
            && limit <= now
        {
            return Err(Ended::Left(self.code()));
        }
        if line.heard + 2 * QUIET <= now {
            return Err(Ended::Lost(
                Timeout(format!("nothing came within {:?}", 2 * QUIET)).into(),
            ));
        }
        if line.lossy && line.asked + PATIENCE <= now && !self.talk.welcomed {
            line.asked = now;
            self.greet();
        } else if line.lossy
            && line.asked + PATIENCE <= now
            && self.talk.pending() > 0
            && self.said.is_empty()
        {
            line.asked = now;
            self.said = self.talk.unsaid().into();
        } else if line.asked + QUIET <= now {
            line.asked = now;
            self.orders.push_back(json!({"do": "ping"}));
        }
        Ok(())
    }

    /// Takes a message: a line, or several.
    async fn message(&mut self, message: &Message) -> Result<(), Ended> {
        let text = String::from_utf8_lossy(&message.data);
        for one in text.lines() {
            // What comes before the first object is a greeting for people.
            let Some(event) = one
                .starts_with('{')
                .then(|| serde_json::from_str::<Value>(one).ok())
                .flatten()
            else {
                continue;
            };
            if self.visit.json {
                let line = if self.is_person {
                    printable(one)
                } else {
                    one.into()
                };
                self.screen.print(format!("{line}\n").into_bytes()).await;
            }
            self.event(&event).await?;
        }
        if self.is_person && self.know() {
            self.screen.redraw().await;
        }
        Ok(())
    }

    async fn event(&mut self, event: &Value) -> Result<(), Ended> {
        let is = |name: &str| event["event"] == name;
        if is("refused") && event["tag"] == "hello" {
            return self.unwelcome(event).await;
        }
        if is("again") {
            // Who can repeat what was sent to an address is there.
            self.orders
                .push_back(json!({"do": "here", "here": event["here"]}));
        }
        let shown = self.talk.heard(event);
        if !self.visit.json {
            self.show(shown).await;
        }
        if is("welcome") {
            self.pace = Pace::new(self.talk.burst, self.talk.rate, Instant::now());
            self.said = self.talk.unsaid().into();
        }
        if is("named") {
            self.orders
                .push_back(json!({"do": "token", "tag": talk::NAMED}));
        }
        if is("welcome") || is("token") {
            let token = self.talk.resume.as_deref().filter(|_| !self.talk.is_guest);
            self.keep.keep(token);
        }
        if let Some(lost) = self.talk.back() {
            self.returned(&lost).await;
        }
        let answers = |(tag, _): &(String, Instant)| event["tag"] == **tag;
        if self.awaited.as_ref().is_some_and(answers) {
            if is("refused") {
                self.talk.current.clone_from(&self.prompted);
            }
            self.prompt();
        }
        Ok(())
    }

    /// The name is somebody else's, or a room does not let us in. A script has no use for another name.
    async fn unwelcome(&self, event: &Value) -> Result<(), Ended> {
        let is_stale = event["why"] == "password" && self.talk.has_name();
        if is_stale {
            return Ok(());
        }
        let why = talk::text(event, "text");
        if !self.is_person {
            return Err(Ended::Failed(failure::turned_away(
                printable(&why).into_owned(),
            )));
        }
        self.tell(&format!("{why}; you are {}", self.talk.me)).await;
        Ok(())
    }

    /// All rooms are entered again.
    async fn returned(&mut self, lost: &[String]) {
        let Some((since, waited)) = self.away.take() else {
            return;
        };
        let lost = match lost {
            [] => "nothing was lost".to_owned(),
            lost => lost.join("; "),
        };
        let waited = match waited {
            0 => String::new(),
            1 => "; 1 line that waited goes out now".to_owned(),
            n => format!("; {n} lines that waited go out now"),
        };
        let after = since.elapsed().as_secs_f64();
        self.tell(&format!("back after {after:.1} s, {lost}{waited}"))
            .await;
    }
}

/// Whether the same may work a little later.
fn is_passing(error: &anyhow::Error) -> bool {
    matches!(
        failure::exit_code(error),
        code::NETWORK | code::TIMEOUT | code::PEER
    )
}

async fn put(sender: &mut Sender, line: &Line, object: &Value) -> sockeye::Result<()> {
    // Where messages have no boundaries, the framing ends the line.
    let text = object.to_string();
    match line.packets {
        true => sender.send(format!("{text}\n")).await,
        false => sender.send(text).await,
    }
}
