//! The person at the terminal, or the script in their place, as the other end of sessions.
//!
//! A [`Console`] knows who is there. An [`Attendance`] keeps one session: what comes is shown, what is
//! ordered is sent, both at once. Orders come from what is typed ([`lines`]), from `--send` ([`script`]), or from
//! a pipe ([`pipe`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Result;
use sockeye::{Info, Receiver, Sender, Service, Session};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::failure::Timeout;

pub(crate) mod call;
mod command;
pub(crate) mod desk;
pub(crate) mod input;
mod lines;
mod notes;
mod patience;
mod pipe;
mod roster;
pub(crate) mod screen;
pub(crate) mod script;
mod writer;

pub(crate) use input::Printer;
pub(crate) use notes::Notes;
use patience::{AtEnd, Patience};
use roster::{Member, Order, Roster};
use screen::Screen;

/// What all sessions at one console share.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) roster: Roster,
    pub(crate) screen: Screen,
    /// What the end of input does to a session.
    pub(crate) at_end: AtEnd,
    /// Cancelled when the conversation is over for all: `/quit`, `--count`, a closed standard output.
    pub(crate) over: CancellationToken,
    /// Whether input that stands ready is still sent to those who have finished.
    drains: bool,
    /// Messages that are still wanted.
    wanted: Option<AtomicU64>,
}

/// How long a last word may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// The same where it is answered: the library waits two seconds for that.
const ANSWERED_GOODBYE: Duration = Duration::from_millis(2500);

/// Orders that may wait for one session; then whoever gives them waits.
const ORDERS: usize = 64;

impl Console {
    pub(crate) fn new(
        screen: Screen,
        at_end: AtEnd,
        count: Option<u64>,
        drains: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            roster: Roster::default(),
            over: screen.gone().clone(),
            screen,
            at_end,
            drains,
            wanted: count.map(AtomicU64::new),
        })
    }

    /// Puts a session on the roster: from now on it can be given orders.
    pub(crate) fn admit(self: &Arc<Self>, name: String, session: Session) -> Attendance {
        let (orders, queue) = mpsc::channel(ORDERS);
        let (heard, _) = watch::channel(0);
        let member = Member {
            name: name.clone(),
            info: session.info().clone(),
            packets: session.keeps_boundaries(),
            orders,
            heard: heard.clone(),
            finished: CancellationToken::new(),
        };
        self.roster.add(member.clone());
        Attendance {
            console: self.clone(),
            name,
            session,
            queue,
            heard,
            member,
        }
    }

    /// Counts one message towards `--count`. The last one ends everything; whether it was that.
    fn count(&self) -> bool {
        let last = self
            .wanted
            .as_ref()
            .is_some_and(|wanted| wanted.fetch_sub(1, Relaxed) == 1);
        if last {
            self.over.cancel();
        }
        last
    }
}

/// A session that is on the roster, about to be attended.
pub(crate) struct Attendance {
    console: Arc<Console>,
    name: String,
    session: Session,
    queue: mpsc::Receiver<Order>,
    heard: watch::Sender<u64>,
    pub(crate) member: Member,
}

impl Attendance {
    /// Shows what comes and sends what is ordered until the session is over.
    pub(crate) async fn attend(self) -> Result<()> {
        let Self {
            console,
            name,
            session,
            queue,
            heard,
            member,
        } = self;
        let Member {
            info,
            packets,
            finished,
            orders,
            ..
        } = member;
        // Only others give orders: when the last of them lets go, there is nothing more to say.
        drop(orders);
        // Held here, because letting go of it would close our direction.
        let (receiver, mut sender) = session.split();
        let (patience, patient) = watch::channel(console.at_end.before());
        let ended = {
            let talking = talk(&mut sender, queue, patience, &console, packets);
            let listening = listen(&console, &name, receiver, &heard, patient);
            tokio::pin!(talking);
            tokio::pin!(listening);
            let mut said_all = false;
            loop {
                tokio::select! {
                    biased;
                    () = console.over.cancelled() => break Ok(()),
                    listened = &mut listening => {
                        // Whoever gives orders lets go now, and what was ordered before still goes out.
                        if !console.drains {
                            console.roster.remove(info.id());
                        }
                        finished.cancel();
                        break match listened {
                            Ok(Heard::TheEnd) if !said_all => talking.await.map_err(Into::into),
                            listened => listened.map(|_| ()),
                        };
                    }
                    talked = &mut talking, if !said_all => match talked {
                        Ok(()) => said_all = true,
                        Err(error) => break Err(error.into()),
                    },
                }
            }
        };
        console.roster.remove(info.id());
        // Where leaving has a word of its own it is said. A peer that takes nothing any more goes without it, and
        // one that is gone does not need it.
        let limit = if packets { ANSWERED_GOODBYE } else { GOODBYE };
        let _ = timeout(limit, sender.finish()).await;
        match ended {
            Ok(()) if !console.over.is_cancelled() => outcome(&info).await,
            ended => ended,
        }
    }
}

/// How a peer that is a program has fared. One that is still at work after it has said all is not waited for.
async fn outcome(info: &Info) -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(1);
    match timeout(LONGEST, info.outcome()).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Ok(()),
    }
}

/// Why listening stopped.
enum Heard {
    /// The peer finished.
    TheEnd,
    /// Nothing more was waited for.
    Enough,
}

async fn listen(
    console: &Console,
    name: &str,
    mut receiver: Receiver,
    heard: &watch::Sender<u64>,
    mut patient: watch::Receiver<Patience>,
) -> Result<Heard> {
    let info = receiver.info().clone();
    let mut voice = console.screen.voice(name, &info);
    loop {
        let patience = *patient.borrow_and_update();
        let sent = info.counters().bytes_out();
        tokio::select! {
            biased;
            received = receiver.recv() => match received? {
                Some(message) => {
                    if !voice.show(&message).await {
                        console.over.cancel();
                        return Ok(Heard::Enough);
                    }
                    heard.send_modify(|n| *n += 1);
                    if console.count() {
                        return Ok(Heard::Enough);
                    }
                }
                None => {
                    voice.finish().await;
                    return Ok(Heard::TheEnd);
                }
            },
            () = patience.lasts() => match patience {
                // What we sent meanwhile is no silence.
                Patience::Timeout(_) if info.counters().bytes_out() != sent => {}
                Patience::Timeout(limit) => {
                    let peer = info.peer();
                    return Err(Timeout(format!("nothing came from {peer} within {limit:?}")).into());
                }
                _ => return Ok(Heard::Enough),
            },
            // A sender that is gone changes nothing any more.
            Ok(()) = patient.changed() => {}
        }
    }
}

/// Sends what is ordered, until there is nothing more to say.
async fn talk(
    sender: &mut Sender,
    mut queue: mpsc::Receiver<Order>,
    patience: watch::Sender<Patience>,
    console: &Console,
    packets: bool,
) -> sockeye::Result<()> {
    let Console { screen, at_end, .. } = console;
    let forgiving = screen.has_editor();
    while let Some(order) = queue.recv().await {
        match order {
            Order::Say(data) => match sender.send(data).await {
                // Nothing of it went out, and a person can say it again.
                Err(error @ sockeye::Error::Framing { .. }) if forgiving => {
                    screen.tell(&format!("not sent: {error}")).await;
                }
                sent => sent?,
            },
            Order::Close => {
                sender.finish().await?;
                patience.send_replace(Patience::Spent);
                break;
            }
            Order::End => {
                // Where messages have boundaries there is no half close: who says that it ends hears no more. So
                // it is said when nothing more is expected.
                if at_end.finishes() && !packets {
                    sender.finish().await?;
                }
                patience.send_replace(at_end.after(packets));
                break;
            }
        }
    }
    Ok(())
}

/// The console as a service: the person at the terminal answers whoever comes.
#[derive(Debug)]
pub(crate) struct Desk(pub(crate) Arc<Console>);

impl Service for Desk {
    async fn serve(&self, session: Session) -> sockeye::Result<()> {
        let name = format!("#{}", session.info().id());
        match self.0.admit(name, session).attend().await {
            Ok(()) => Ok(()),
            // Only `connect` limits its waits, so the library's own errors are all there are.
            Err(error) => error.downcast().map_or(Ok(()), Err),
        }
    }
}
