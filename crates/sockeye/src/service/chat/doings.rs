//! What is done when somebody asks for it.

use std::collections::BTreeMap;

use super::ask::{Ask, Hello};
use super::query::View;
use super::reply::{Keeps, Reply, Welcome};
use super::talk::{LOBBY, Onward, Talk};
use crate::error::Result;
use crate::hub::{Look, Refusal, Why};

/// Lines of the past that somebody is shown who comes in: people, programs.
const LATEST: (u64, u64) = (20, 50);
/// Lines of history that are shown unless more are asked for.
const SHOWN: usize = 20;

/// What carrying out came to: the inner one is told to whoever asked.
type Done<T> = Result<std::result::Result<T, Refusal>>;

/// Tells the asker, and not the port, what went wrong.
macro_rules! or_refuse {
    ($done:expr) => {
        match $done {
            Ok(done) => done,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

impl Talk {
    /// Greets who has not said anything, and lets them into their room.
    pub(super) async fn welcome(&mut self) -> Result<()> {
        let hello = Hello {
            name: self.query.name.take(),
            rooms: Some(BTreeMap::from([(
                self.query.room.take().unwrap_or_else(|| LOBBY.to_owned()),
                self.query.after.take(),
            )])),
            ..Hello::default()
        };
        if let Err(refusal) = self.hello(hello, None).await? {
            self.answer(Reply::Refused(refusal), None).await?;
        }
        Ok(())
    }

    pub(super) async fn carry_out(&mut self, ask: Ask, tag: Option<&str>) -> Done<Onward> {
        if !self.is_welcome && !matches!(ask, Ask::Hello(_)) {
            self.welcome().await?;
        }
        let reply = match ask {
            Ask::Hello(hello) => return self.hello(hello, tag).await,
            Ask::Say { room, kind, text } => {
                let room = or_refuse!(self.meant(room));
                let own = self.next_tag();
                let said = self
                    .member
                    .say(&room, kind, &text, Some(tag.unwrap_or(&own)))
                    .await;
                self.await_kept(or_refuse!(said), room, tag);
                return Ok(Ok(Onward::Yes));
            }
            Ask::Join { room, after } => return self.join(&room, after, tag).await,
            Ask::Part(room) => {
                let room = or_refuse!(self.meant(room));
                let parted = or_refuse!(self.member.part(&room));
                self.leave_current(&parted);
                Reply::Parted(parted)
            }
            Ask::Name { name, password } => {
                let name = or_refuse!(self.member.take_name(&name, password.as_deref()).await);
                self.named(name)
            }
            Ask::Resume(token) => {
                let name = or_refuse!(self.member.come_back(&token).await);
                self.named(name)
            }
            Ask::Tell { to, text } => Reply::Done {
                line: None,
                is_kept: or_refuse!(self.member.tell(&to, &text).await),
            },
            Ask::Topic {
                room,
                topic: Some(topic),
            } => {
                let room = or_refuse!(self.meant(room));
                let kept = or_refuse!(self.member.set_topic(&room, &topic).await);
                self.await_kept(kept, room, tag);
                return Ok(Ok(Onward::Yes));
            }
            Ask::Order {
                room,
                order,
                name,
                why,
            } => {
                let room = or_refuse!(self.meant(room));
                let kept = or_refuse!(self.member.order(&room, order, &name, &why).await);
                self.await_kept(kept, room, tag);
                return Ok(Ok(Onward::Yes));
            }
            Ask::Here(word) => or_refuse!(self.prove(&word).await?),
            Ask::Moderate(token) => {
                or_refuse!(self.member.moderate(&token));
                Reply::Notice("you may give orders in every room now")
            }
            Ask::Quit => {
                self.kept_all().await?;
                self.answer(Reply::Bye("come again".into()), tag).await?;
                return Ok(Ok(Onward::End));
            }
            ask => or_refuse!(self.look(ask).await),
        };
        self.answer(reply, tag).await?;
        Ok(Ok(Onward::Yes))
    }

    /// What changes nothing.
    async fn look(&mut self, ask: Ask) -> std::result::Result<Reply, Refusal> {
        Ok(match ask {
            Ask::History { room, look, limit } => {
                let room = self.meant(room)?;
                let limit = match (limit, &look) {
                    (Some(limit), _) => limit,
                    (None, Look::After(_) | Look::Since(_)) => 10 * SHOWN,
                    (None, _) => SHOWN,
                };
                Reply::Found(self.member.look(&room, look, limit).await?)
            }
            Ask::Who(room) => {
                let room = self.meant(room)?;
                let people = self.member.who(&room).await?;
                Reply::Who(room.trim_start_matches('#').into(), people)
            }
            Ask::Topic { room, .. } => {
                let room = self.meant(room)?;
                let topic = self.member.topic(&room).await?;
                Reply::Topic(room.trim_start_matches('#').into(), topic)
            }
            Ask::Rooms => Reply::Rooms(self.member.list().await?),
            Ask::Token => Reply::Token(self.member.token().await?),
            Ask::Help => Reply::Help,
            _ => Reply::Pong,
        })
    }

    /// How a program begins, or what a person is told first.
    async fn hello(&mut self, hello: Hello, tag: Option<&str>) -> Done<Onward> {
        let greeted = std::mem::replace(&mut self.is_welcome, true);
        let again = greeted && self.has_entered;
        self.has_entered |= self.view != View::Text;
        let mut refused = None;
        let mut resume = hello.resume.filter(|token| !token.is_empty());
        if let Some(token) = &resume
            && let Err(refusal) = self.member.come_back(token).await
        {
            refused = Some(refusal);
            resume = None;
        }
        if let (Some(name), None) = (&hello.name, &resume)
            && let Err(refusal) = self.member.take_name(name, hello.password.as_deref()).await
        {
            refused = Some(refusal);
        }
        if resume.is_none() && self.view != View::Text {
            resume = or_refuse!(self.member.token().await).into();
        }
        let welcome = Reply::Welcome(Welcome {
            name: self.member.name(),
            is_guest: self.member.is_guest(),
            resume,
            rate: self.member.hub().options().rate,
            keeps: self.keeps(),
        });
        self.answer(welcome, tag).await?;
        if let Some(refusal) = refused {
            self.answer(Reply::Refused(refusal), tag).await?;
        }
        let rooms = match hello.rooms {
            Some(rooms) => rooms,
            None if again => BTreeMap::new(),
            None => BTreeMap::from([(LOBBY.to_owned(), None)]),
        };
        if greeted && !again {
            // It was taken for a person, and let in where people are.
            let entered: Vec<_> = self.member.rooms().cloned().collect();
            for room in entered.iter().filter(|room| !rooms.contains_key(&***room)) {
                or_refuse!(self.member.part(room));
            }
        }
        for (room, after) in rooms {
            if let Err(refusal) = self.join(&room, after, None).await? {
                self.answer(Reply::Refused(refusal), tag).await?;
            }
        }
        Ok(Ok(Onward::Yes))
    }

    async fn join(&mut self, room: &str, after: Option<u64>, tag: Option<&str>) -> Done<Onward> {
        let latest = if self.view == View::Text {
            LATEST.0
        } else {
            LATEST.1
        };
        let entered = or_refuse!(self.member.enter(room, after, latest).await);
        self.current = Some(entered.room.to_string());
        self.answer(Reply::Entered(entered), tag).await?;
        Ok(Ok(Onward::Yes))
    }

    fn named(&self, name: std::sync::Arc<str>) -> Reply {
        Reply::Named {
            name,
            is_guest: self.member.is_guest(),
        }
    }

    fn meant(&self, room: Option<String>) -> std::result::Result<String, Refusal> {
        room.or_else(|| self.current.clone())
            .ok_or_else(|| Why::NotThere.because("you are in no room: /join ROOM"))
    }

    fn keeps(&self) -> Keeps {
        let options = self.member.hub().options();
        Keeps {
            lines: options.keep.lines,
            age: options.keep.age,
            promise: self.member.hub().promise(),
        }
    }
}
