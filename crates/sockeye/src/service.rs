//! What is done with a session. The trait every protocol serves, and the services that come with sockeye.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::error::Result;
use crate::request::{Answer, Head, Request};
use crate::session::{Identity, Session};

mod cat;
mod chat;
mod echo;
mod exec;
mod files;
mod folder;
mod hello;
mod relay;
mod reply;
mod sink;
mod site;
mod upper;

pub use cat::Cat;
pub use chat::Chat;
pub use echo::Echo;
pub use exec::Exec;
pub use files::{Files, FilesOptions, Offer};
pub use hello::Hello;
pub use relay::{Balance, Relay};
pub use reply::Reply;
pub use sink::{Sink, Target};
pub use site::{Site, SiteOptions};
pub use upper::Upper;

/// What is done with a session: one value serves all sessions of a port, over every protocol.
///
/// `&self`, because sessions run at the same time; state that they share stands behind a lock of its own.
/// A service never asks which protocol carries a session.
pub trait Service: Send + Sync + 'static {
    /// Serves one session to its end.
    fn serve(&self, session: Session) -> impl Future<Output = Result<()>> + Send;

    /// Answers a request, or makes a session of it.
    fn http(&self, request: Request) -> impl Future<Output = Result<Answer>> + Send {
        async move { Ok(Answer::Session(request)) }
    }

    /// The answer to a request without a body, where its head says all: nobody has to wait for it, which makes it
    /// cheaper than one of [`http`](Self::http). That is asked when this gives `None`. May be asked twice for one
    /// request, so it has no effect but the answer.
    fn at_once(&self, head: Head<'_>, who: &Identity) -> Option<http::Response<Bytes>> {
        let _ = (head, who);
        None
    }

    /// The answer to a datagram that says all: what [`serve`](Self::serve) would send, alone and at once, whatever was
    /// said before. While a session waits in [`recv`](Session::recv) and nobody watches, who reads the socket gives this
    /// answer and wakes nobody. With `None` the session gets the datagram. May be asked twice for one datagram, so it
    /// has no effect but the answer.
    fn reflex(&self, datagram: &[u8], who: &Identity) -> Option<Bytes> {
        let _ = (datagram, who);
        None
    }

    /// The methods that requests may have here, for who asks which (`Allow`). OPTIONS is answered for every service.
    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    /// What OPTIONS tells besides the methods.
    fn options(&self, headers: &mut HeaderMap) {
        let _ = headers;
    }

    /// Whether it has something to say before the peer has: then a client that stays silent gets its session
    /// after a moment, and not with its first bytes.
    fn speaks_first(&self) -> bool {
        false
    }

    /// Told once, when the port stops and before its sessions are ended.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A service made of a function.
///
/// ```
/// use sockeye::{Session, service_fn};
///
/// let shout = service_fn(async |mut session: Session| {
///     while let Some(message) = session.recv().await? {
///         session.send(message.text()?.to_uppercase()).await?;
///     }
///     session.finish().await
/// });
/// # fn check(_: impl sockeye::Service) {}
/// # check(shout);
/// ```
pub fn service_fn<F, R>(function: F) -> ServiceFn<F>
where
    F: Fn(Session) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send,
{
    ServiceFn { function }
}

/// See [`service_fn`].
#[derive(Clone, Copy, Debug)]
pub struct ServiceFn<F> {
    function: F,
}

impl<F, R> Service for ServiceFn<F>
where
    F: Fn(Session) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send,
{
    fn serve(&self, session: Session) -> impl Future<Output = Result<()>> + Send {
        (self.function)(session)
    }
}

/// Any service, chosen at run time.
#[derive(Clone)]
pub struct AnyService(Arc<dyn DynService>);

impl AnyService {
    /// Forgets which service it is.
    pub fn new(service: impl Service) -> Self {
        Self(Arc::new(service))
    }

    /// The same of a service that is shared already.
    pub(crate) fn shared(service: Arc<impl Service>) -> Self {
        Self(service)
    }
}

/// Those that a session can come of, or that tell about it.
const METHODS: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

impl Service for AnyService {
    fn serve(&self, session: Session) -> impl Future<Output = Result<()>> + Send {
        self.0.serve_boxed(session)
    }

    fn http(&self, request: Request) -> impl Future<Output = Result<Answer>> + Send {
        self.0.http_boxed(request)
    }

    fn at_once(&self, head: Head<'_>, who: &Identity) -> Option<http::Response<Bytes>> {
        self.0.at_once_dyn(head, who)
    }

    fn reflex(&self, datagram: &[u8], who: &Identity) -> Option<Bytes> {
        self.0.reflex_dyn(datagram, who)
    }

    fn methods(&self) -> &'static [Method] {
        self.0.methods_dyn()
    }

    fn options(&self, headers: &mut HeaderMap) {
        self.0.options_dyn(headers);
    }

    fn speaks_first(&self) -> bool {
        self.0.speaks_first_dyn()
    }

    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        self.0.shutdown_boxed()
    }
}

impl<S: Service> Service for Arc<S> {
    fn serve(&self, session: Session) -> impl Future<Output = Result<()>> + Send {
        S::serve(self, session)
    }

    fn http(&self, request: Request) -> impl Future<Output = Result<Answer>> + Send {
        S::http(self, request)
    }

    fn at_once(&self, head: Head<'_>, who: &Identity) -> Option<http::Response<Bytes>> {
        S::at_once(self, head, who)
    }

    fn reflex(&self, datagram: &[u8], who: &Identity) -> Option<Bytes> {
        S::reflex(self, datagram, who)
    }

    fn methods(&self) -> &'static [Method] {
        S::methods(self)
    }

    fn options(&self, headers: &mut HeaderMap) {
        S::options(self, headers);
    }

    fn speaks_first(&self) -> bool {
        S::speaks_first(self)
    }

    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        S::shutdown(self)
    }
}

impl std::fmt::Debug for AnyService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyService")
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Service`] in a form that can stand behind a pointer.
trait DynService: Send + Sync {
    fn serve_boxed(&self, session: Session) -> BoxFuture<'_, Result<()>>;
    fn http_boxed(&self, request: Request) -> BoxFuture<'_, Result<Answer>>;
    fn at_once_dyn(&self, head: Head<'_>, who: &Identity) -> Option<http::Response<Bytes>>;
    fn reflex_dyn(&self, datagram: &[u8], who: &Identity) -> Option<Bytes>;
    fn methods_dyn(&self) -> &'static [Method];
    fn options_dyn(&self, headers: &mut HeaderMap);
    fn speaks_first_dyn(&self) -> bool;
    fn shutdown_boxed(&self) -> BoxFuture<'_, ()>;
}

impl<S: Service> DynService for S {
    fn serve_boxed(&self, session: Session) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.serve(session))
    }

    fn http_boxed(&self, request: Request) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(self.http(request))
    }

    fn at_once_dyn(&self, head: Head<'_>, who: &Identity) -> Option<http::Response<Bytes>> {
        self.at_once(head, who)
    }

    fn reflex_dyn(&self, datagram: &[u8], who: &Identity) -> Option<Bytes> {
        self.reflex(datagram, who)
    }

    fn methods_dyn(&self) -> &'static [Method] {
        self.methods()
    }

    fn options_dyn(&self, headers: &mut HeaderMap) {
        self.options(headers);
    }

    fn speaks_first_dyn(&self) -> bool {
        self.speaks_first()
    }

    fn shutdown_boxed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shutdown())
    }
}
