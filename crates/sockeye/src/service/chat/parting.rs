//! How a session of a chat ends: what was said before is said, and what is left is told.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::query::View;
use super::reply::Reply;
use super::talk::{Onward, Talk};
use crate::error::Result;
use crate::hub::News;

/// How long it is waited at the end for what a peer has said: a port that stops lets `recv` end before that.
const PARTING: Duration = Duration::from_millis(500);

impl Talk {
    /// The peer will say no more.
    pub(super) async fn heard_all(&mut self) -> Result<Onward> {
        if self.heard_last().await? == Onward::End {
            return Ok(Onward::End);
        }
        let info = self.session.info();
        // A WebSocket begins with a request that is safe, too, but it can say that it is over.
        let only_asks = !self.session.keeps_boundaries()
            && info.request().is_some_and(|head| head.method.is_safe());
        if !info.is_stopping() && (only_asks || self.view == View::Events) {
            return Ok(Onward::Yes);
        }
        if info.has_expired() {
            let why = match info.has_end() {
                true => "nothing was said for a while: connect again to come back",
                false => "nothing came from you for a while: say something to come back",
            };
            self.answer(Reply::Bye(why.into()), None).await?;
        }
        self.kept_all().await?;
        // That the server stops may be known here before it is told.
        while self.session.info().is_stopping()
            && let Some(news) = self.member.try_news()
            && self.tell(news).await? == Onward::Yes
        {}
        Ok(Onward::End)
    }

    /// What has no line end is a line too when nothing follows.
    async fn heard_last(&mut self) -> Result<Onward> {
        let encoding = self.session.info().encoding();
        match self.cutter.finish() {
            Some(cut) => self.line(cut, encoding).await,
            None => Ok(Onward::Yes),
        }
    }

    /// The end: what has arrived before it is still said, and what others said is told.
    pub(super) async fn part(&mut self, bye: News) -> Result<()> {
        while let Ok(Some(message)) = timeout(PARTING, self.session.recv())
            .await
            .unwrap_or(Ok(None))
            && self.heard(message).await? == Onward::Yes
        {
            self.kept_all().await?;
        }
        self.heard_last().await?;
        self.kept_all().await?;
        let reader = self.reader();
        let mut lines = Vec::new();
        while let Some(news) = self.member.try_news() {
            self.write(&reader, &news, &mut lines);
        }
        self.write(&reader, &bye, &mut lines);
        self.send(lines).await?;
        self.flush().await
    }

    /// Waits for what is on its way to safety.
    pub(super) async fn kept_all(&mut self) -> Result<()> {
        while let Some(keeping) = &mut self.keeping
            && let Some(kept) = keeping.next().await
        {
            self.kept(kept).await?;
        }
        Ok(())
    }
}
