//! One request on the accepting side: checked, given to the service, answered.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use bytes::Bytes;
use http_body::Body as _;
use wire::text::printable;

use super::cors::{self, Leave};
use super::pace::Moment;
use super::{
    Connection, Refusal, Shared, TARGET_MAX, exchange, host, page, token, unread, upgrade, view,
};
use crate::protocol::ws;
use crate::request::{Answer, Body, HasPage, Response};
use crate::service::Service;
use crate::session::{Answered, Ending};

mod bodies;
mod quick;

use bodies::inbound;
pub(in crate::protocol) use bodies::{Arriving, Sent};
pub(super) use quick::{Left, Quick};

/// Answers one request.
///
/// Not an `async fn`: that would keep its arguments twice.
///
/// # Errors
/// In HTTP/2, for a malformed one: a stream error (RFC 9113, section 8.1.1).
pub(in crate::protocol) fn answer<B: Arriving>(
    shared: Arc<Shared>,
    request: ::http::Request<B>,
) -> impl Future<Output = Result<::http::Response<Sent>, h2::Error>> + Send {
    let mut asked = Asked::new(shared, &request);
    async move {
        let leave = Leave::of(&asked.shared.connection.websocket, request.headers());
        let has_body = !request.body().is_end_stream();
        let mut response = match asked.judge(&request, has_body, leave.is_given()) {
            Verdict::Answered(response) => response,
            Verdict::ByHead(response) => asked.of_service(response.map(Body::from)),
            Verdict::Refused(response) => {
                unread::leave(&asked.shared, request.version(), request.into_body());
                response
            }
            Verdict::Upgrade => asked.upgrade(request),
            // Boxed, because the future of a connection's request is moved about and kept for the next one.
            Verdict::Ask { may_come } => Box::pin(asked.ask(request, may_come)).await,
        };
        leave.tell(response.headers_mut());
        if asked.version > Version::HTTP_11 && asked.malformed {
            asked.tell(response.status(), 0, false);
            return Err(h2::Reason::PROTOCOL_ERROR.into());
        }
        Ok(asked.sent(response))
    }
}

/// In a request: it asks for a session that its connection carries apart from its requests (WebTransport). Who may
/// have one is asked here; 200 is the answer to those.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Apart;

/// A request from its head to the end of its answer.
struct Asked {
    shared: Arc<Shared>,
    method: Method,
    uri: Uri,
    version: Version,
    began: Moment,
    /// What tells of it: a session tells its own story.
    by: By,
    /// It is none by the rules of its version.
    malformed: bool,
}

/// What is to be done with a request, by its head.
enum Verdict {
    /// This is the answer, by HTTP's own rules.
    Answered(Response),
    /// The same, and a body that may come is of no use.
    Refused(Response),
    /// This is the service's answer.
    ByHead(::http::Response<Bytes>),
    /// It becomes a WebSocket session.
    Upgrade,
    /// The service is asked; `may_come`: pages of the site that it comes from may ask.
    Ask { may_come: bool },
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// HTTP's own rules.
    Rules,
    /// The service, which counts as a session.
    Service,
    Session,
}

impl Asked {
    fn new<B>(shared: Arc<Shared>, request: &::http::Request<B>) -> Self {
        Self {
            began: shared.pace.begin(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            by: By::Rules,
            malformed: false,
            shared,
        }
    }

    /// `is_named`: pages of the site that it comes from may ask.
    fn judge(
        &mut self,
        request: &::http::Request<impl Sized>,
        has_body: bool,
        is_named: bool,
    ) -> Verdict {
        let asks_websocket = ws::handshake::is_asked(request);
        let asks_apart = request.extensions().get::<Apart>().is_some();
        // Sessions have a rule of their own for that.
        let may_come = is_named || asks_websocket || asks_apart;
        if let Err(refusal) = self.check(request.headers(), may_come) {
            self.malformed = refusal.status == StatusCode::BAD_REQUEST;
            return Verdict::Refused(refusal.response());
        }
        let connection = &self.shared.connection;
        view::claim(connection, request);
        match self.method {
            _ if asks_websocket || asks_apart || connection.only_websocket => {}
            Method::CONNECT | Method::TRACE => return Verdict::Answered(self.not_allowed()),
            Method::OPTIONS => return Verdict::Answered(self.options(request.headers(), is_named)),
            _ => {}
        }
        if let Some(response) = self.of_page(request) {
            return Verdict::Answered(response);
        }
        if let Some(token) = &connection.token
            && !token::says(token, &self.uri, request.headers())
        {
            return Verdict::Refused(token::ask());
        }
        if asks_apart {
            return Verdict::Answered(
                match ws::handshake::check_origin(request, &connection.websocket) {
                    Ok(()) => {
                        self.by = By::Session;
                        Response::new(Body::empty())
                    }
                    Err(refusal) => upgrade::refuse(refusal),
                },
            );
        }
        if asks_websocket {
            return Verdict::Upgrade;
        }
        if connection.only_websocket {
            return Verdict::Answered(upgrade::ask());
        }
        if !has_body
            && let Some(response) = connection
                .service
                .at_once(request.into(), &connection.identity)
        {
            return Verdict::ByHead(response);
        }
        Verdict::Ask { may_come }
    }

    fn upgrade<B: Arriving>(&mut self, request: ::http::Request<B>) -> Response {
        match upgrade::answer(&self.shared, request) {
            Ok(response) => {
                self.by = By::Session;
                response
            }
            Err(refusal) => upgrade::refuse(refusal),
        }
    }

    /// What the page has, and what it shows.
    fn of_page(&self, request: &::http::Request<impl Sized>) -> Option<Response> {
        let connection = &self.shared.connection;
        let page = connection.page()?;
        if let Some(view) = &connection.settings.view
            && view::is_asked(&self.method, &self.uri)
        {
            return Some(match self.is_cross_site(request.headers()) {
                true => foreign().response(),
                false => view::look(&**view, connection, request),
            });
        }
        let part = page::part(page, connection, request)?;
        Some(self.without_body_for_head(part))
    }

    /// Asks the service.
    async fn ask<B: Arriving>(&mut self, request: ::http::Request<B>, may_come: bool) -> Response {
        let (mut request, patient) = inbound(request, &self.shared);
        let shared = self.shared.clone();
        let Connection {
            service, identity, ..
        } = &shared.connection;
        let page = shared.connection.page();
        request.extensions_mut().insert(identity.clone());
        if page.is_some() && page::is_wanted(&request) {
            request.extensions_mut().insert(HasPage);
        }
        match service.http(request).await {
            Ok(Answer::Response(response)) => self.of_service(response),
            Ok(Answer::Session(request)) if !may_come && self.is_cross_site(request.headers()) => {
                foreign().response()
            }
            Ok(Answer::Session(request))
                if let Some(page) = page
                    && page::is_wanted(&request) =>
            {
                self.without_body_for_head(page::whole(page, request.headers()))
            }
            Ok(Answer::Session(_)) if self.method == Method::HEAD => {
                exchange::head(&shared.connection)
            }
            Ok(Answer::Session(request)) => {
                // Sessions wait for their peers as long as the port says.
                patient.into_iter().for_each(|it| it.store(true, Relaxed));
                self.by = By::Session;
                exchange::open(&shared, request).await
            }
            Err(error) => {
                identity.note(&error.to_string());
                exchange::refusal(&Ending::Failed(error), false).response()
            }
        }
    }

    /// What the service answers without a session counts as one.
    fn of_service(&mut self, response: Response) -> Response {
        match self.shared.connection.host.admit() {
            true => {
                self.by = By::Service;
                self.without_body_for_head(response)
            }
            false => full().response(),
        }
    }

    /// What is wrong with a request before anyone has looked at what it wants.
    fn check(&self, headers: &HeaderMap, may_come: bool) -> Result<(), Refusal> {
        let asked = host::asked(self.version, &self.uri, headers)?;
        if self.version > Version::HTTP_11 && headers.values().any(has_space_around) {
            let words = "a header field has a space at its end\n";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, words));
        }
        let listed = &self.shared.connection.settings.hosts;
        if self.shared.checks_hosts && !host::is_ours(asked.host, listed) {
            let name = printable(asked.host);
            let words = format!(
                "this server is not called {name}: ask for it by its address, or start it with --host {name}\n"
            );
            return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, words));
        }
        let target = self.uri.path_and_query().map_or(0, |it| it.as_str().len());
        if target > TARGET_MAX {
            let words = "the target is longer than 8 KiB\n";
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, words));
        }
        if !may_come && !self.method.is_safe() && self.is_cross_site(headers) {
            return Err(foreign());
        }
        Ok(())
    }

    fn is_cross_site(&self, headers: &HeaderMap) -> bool {
        host::asked(self.version, &self.uri, headers)
            .is_ok_and(|asked| host::is_cross_site(&self.method, headers, asked))
    }

    fn not_allowed(&self) -> Response {
        let words = "this method makes no sense here\n";
        let mut response = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words).response();
        let allowed = self.methods();
        response.headers_mut().insert(header::ALLOW, allowed);
        response
    }

    /// What may be asked, and to the browser of a page that `is_named`, what that page may ask.
    fn options(&self, asked: &HeaderMap, is_named: bool) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let (methods, headers) = (self.methods(), response.headers_mut());
        if is_named {
            cors::preflight(asked, &methods, headers);
        }
        headers.insert(header::ALLOW, methods);
        self.shared.connection.service.options(headers);
        response
    }

    /// Those that are answered by whoever answers at this target.
    fn methods(&self) -> HeaderValue {
        let Connection {
            service, settings, ..
        } = &self.shared.connection;
        let methods = match settings.page.is_some() && page::is_part(&self.uri) {
            true => page::METHODS,
            false => service.methods(),
        };
        let names: Vec<_> = methods.iter().map(Method::as_str).collect();
        // Methods are tokens, and so may stand in a header.
        HeaderValue::try_from(names.join(", ") + ", OPTIONS")
            .unwrap_or(HeaderValue::from_static("OPTIONS"))
    }

    /// The answer to HEAD is that to GET without its body, but with its length (RFC 9110, section 9.3.2).
    fn without_body_for_head(&self, response: Response) -> Response {
        if self.method != Method::HEAD {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        if let Some(length) = body.size_hint().exact() {
            let fields = parts.headers.entry(header::CONTENT_LENGTH);
            fields.or_insert_with(|| length.into());
        }
        Response::from_parts(parts, Body::empty())
    }

    /// On the way to the client.
    fn sent(self, mut response: Response) -> ::http::Response<Sent> {
        let status = response.status();
        if let Some(elsewhere) = &self.shared.connection.elsewhere {
            let fields = response.headers_mut().entry(header::ALT_SVC);
            fields.or_insert_with(|| elsewhere.clone());
        }
        response.map(|body| {
            let mut owed = false;
            self.shared.pace.owe(&mut owed, !body.is_end_stream());
            Sent {
                ended: body.is_end_stream(),
                body,
                status,
                bytes: 0,
                owed,
                asked: self,
            }
        })
    }

    fn tell(&self, status: StatusCode, bytes: u64, whole: bool) {
        let Connection { host, identity, .. } = &self.shared.connection;
        let counts = self.by == By::Service;
        if self.by != By::Session {
            let answered = Answered {
                identity,
                method: &self.method,
                uri: &self.uri,
                version: self.version,
                status,
                bytes,
                whole,
                took: self.shared.pace.since(self.began),
            };
            host.answered(&answered, counts);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shared.pace.end();
    }
}

/// RFC 9113, section 8.2.1: what in HTTP/1 is no part of a value makes a request malformed.
fn has_space_around(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    is_space(value.first()) || is_space(value.last())
}

fn foreign() -> Refusal {
    let words = "a page of another site may not use this server\n";
    Refusal::new(StatusCode::FORBIDDEN, words)
}

pub(super) fn full() -> Refusal {
    let words = "no more sessions are taken\n";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, words)
}
