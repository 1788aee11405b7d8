//! Fetching as a library: what a witness sees, what is known of an exchange, and connections that are kept.

use std::sync::{Arc, Mutex};

use http::{HeaderValue, Method, StatusCode, Version};
use sockeye::fetch::{
    Event, Exchange, Fetcher, Location, Options, Order, Payload, Speaks, Witness,
};
use sockeye::service::{Echo, Reply};
use sockeye::{DialOptions, Error, TlsClient, TlsClientOptions};

use crate::stage::{Stage, within};

/// Remembers events by their names, and every exchange.
#[derive(Default)]
struct Seen {
    events: Mutex<Vec<String>>,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Witness for Seen {
    fn saw(&self, event: &Event<'_>) {
        let name = format!("{event:?}");
        let name = name
            .split([' ', '(', '{'])
            .next()
            .unwrap_or_default()
            .to_owned();
        self.events.lock().unwrap().push(name);
        if let Event::Ended(exchange) = event {
            self.exchanges.lock().unwrap().push((*exchange).clone());
        }
    }
}

impl Seen {
    fn events(&self) -> String {
        std::mem::take(&mut *self.events.lock().unwrap()).join(" ")
    }

    fn exchange(&self) -> Exchange {
        self.exchanges
            .lock()
            .unwrap()
            .pop()
            .expect("an exchange that has ended")
    }
}

fn fetcher(speaks: Speaks) -> (Arc<Seen>, Fetcher) {
    let seen = Arc::new(Seen::default());
    let anyone = TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    };
    let options = Options {
        dial: DialOptions {
            tls: TlsClient::new(anyone).unwrap(),
            ..DialOptions::default()
        },
        speaks,
        witness: Some(seen.clone()),
        ..Options::default()
    };
    (seen, Fetcher::new(options))
}

fn pong() -> Reply {
    Reply {
        answer: "pong".into(),
        close: false,
        content_type: Some(HeaderValue::from_static("text/plain")),
    }
}

fn at(stage: &Stage, scheme: &str) -> Location {
    let address = stage.address();
    format!("{scheme}://{}/", address.hosts()[0])
        .parse()
        .unwrap()
}

async fn all(fetcher: &mut Fetcher, order: Order) -> (StatusCode, Vec<u8>) {
    let mut fetched = within(fetcher.fetch(order)).await.unwrap();
    let mut all = Vec::new();
    while let Some(data) = within(fetched.content.data()).await {
        all.extend_from_slice(&data.unwrap());
    }
    (fetched.head.status, all)
}

#[tokio::test]
async fn every_step_is_seen_in_its_order_and_connections_are_kept() {
    let stage = Stage::new("127.0.0.1:0", pong()).await;
    for (scheme, speaks, version) in [
        ("http", Speaks::Any, Version::HTTP_11),
        ("http", Speaks::Two, Version::HTTP_2),
        ("https", Speaks::Any, Version::HTTP_2),
        ("https", Speaks::One, Version::HTTP_11),
    ] {
        let (seen, mut fetcher) = fetcher(speaks);
        let order = Order::get(at(&stage, scheme));
        let secured = if scheme == "https" { "Secured " } else { "" };
        let answered = all(&mut fetcher, order.clone()).await;
        assert_eq!(answered, (StatusCode::OK, b"pong".to_vec()));
        assert_eq!(
            seen.events(),
            format!("Resolved Connected {secured}Asked Heard Ended")
        );
        let first = seen.exchange();
        let reach = first.connection.unwrap();
        assert_eq!(
            (reach.version, reach.number, first.reused),
            (version, 1, false)
        );
        assert_eq!(
            (first.received, first.whole, first.failure),
            (4, true, None)
        );
        let times = first.timings;
        assert_eq!(times.secured.is_some(), scheme == "https");
        let steps = [
            times.resolved,
            times.connected,
            times.ready,
            times.sent,
            times.answered,
            times.ended,
        ];
        assert!(
            steps.iter().all(Option::is_some) && steps.is_sorted(),
            "{steps:?}"
        );
        // The second time there is nothing to open.
        all(&mut fetcher, order).await;
        assert_eq!(seen.events(), "Reused Asked Heard Ended");
        let second = seen.exchange();
        assert!(
            second.reused && second.timings.connected.is_none(),
            "{second:?}"
        );
        assert_eq!(second.connection.unwrap().local, reach.local);
        within(fetcher.close()).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn what_is_sent_comes_back_while_it_is_sent() {
    let stage = Stage::new("127.0.0.1:0", Echo).await;
    for speaks in [Speaks::One, Speaks::Two] {
        let (seen, mut fetcher) = fetcher(speaks);
        let data = vec![7; 3 << 20];
        for payload in [
            Payload::Bytes(data.clone().into()),
            Payload::once(std::io::Cursor::new(data.clone())),
        ] {
            let order = Order {
                method: Method::POST,
                payload,
                ..Order::get(at(&stage, "http"))
            };
            let (status, echoed) = all(&mut fetcher, order).await;
            assert!(
                status == StatusCode::OK && echoed == data,
                "{status} {}",
                echoed.len()
            );
            let exchange = seen.exchange();
            assert_eq!((exchange.sent, exchange.received), (3 << 20, 3 << 20));
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn an_answer_that_is_left_ends_and_the_next_is_asked_elsewhere() {
    let long = Reply {
        answer: vec![b'x'; 8 << 20].into(),
        ..pong()
    };
    let stage = Stage::new("127.0.0.1:0", long).await;
    let (seen, mut fetcher) = fetcher(Speaks::One);
    let order = Order::get(at(&stage, "http"));
    let mut fetched = within(fetcher.fetch(order.clone())).await.unwrap();
    assert_eq!(fetched.content.length(), Some(8 << 20));
    within(fetched.content.data()).await.unwrap().unwrap();
    drop(fetched);
    let left = seen.exchange();
    assert!(
        !left.whole && left.failure.is_none() && left.received < 8 << 20,
        "{left:?}"
    );
    let (_, whole) = all(&mut fetcher, order).await;
    assert_eq!(whole.len(), 8 << 20);
    assert_eq!(seen.exchange().connection.unwrap().number, 2);
    stage.end().await;
}

#[tokio::test]
async fn who_is_not_reached_is_an_exchange_that_failed() {
    let (seen, mut fetcher) = fetcher(Speaks::Any);
    let order = Order::get("http://127.0.0.1:1/".parse().unwrap());
    let error = within(fetcher.fetch(order)).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(seen.events(), "Resolved Ended");
    let exchange = seen.exchange();
    assert_eq!(exchange.failure.as_deref(), Some(&*error.to_string()));
    assert!(exchange.connection.is_none() && exchange.timings.connected.is_none());
}
