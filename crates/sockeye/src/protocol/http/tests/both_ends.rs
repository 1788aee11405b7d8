//! The dialing side in memory, against the accepting one and against answers made by hand.

use bytes::Bytes;

use super::*;
use crate::error::Error;
use crate::protocol::http::{Ask, Resource, Sends, Terms, dial};
use crate::session::MAX_MESSAGE;

/// A session that asks for `/x` through `wire`.
async fn ask(wire: DuplexStream, version: Version, sends: Sends) -> Session {
    let here = Endpoint::Memory;
    let identity = Identity::new(Side::Dialed, "http", here.clone(), here);
    let resource = Resource {
        scheme: "http",
        authority: "localhost".to_owned(),
        path: "/x".to_owned(),
        headers: [("x", "y")]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect(),
    };
    let ask = Ask {
        method: None,
        sends,
    };
    let terms = Terms {
        identity,
        framing: Framing::Raw,
        max_message: MAX_MESSAGE,
    };
    let dialed = dial(ByteStream::new(wire), version, &resource, &ask, terms);
    dialed.await.unwrap()
}

/// The next message.
async fn heard(session: &mut Session) -> Option<Bytes> {
    let heard = timeout(HOUR, session.recv()).await.unwrap();
    heard.unwrap().map(|message| message.data)
}

const BOTH: [Version; 2] = [Version::One, Version::Two];

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_answered_while_it_is_sent() {
    for version in BOTH {
        let client = Client::with(Echo, version, Framing::Raw);
        let mut session = ask(client.wire, version, Sends::Something(None)).await;
        for text in ["one", "two"] {
            session.send(text).await.unwrap();
            assert_eq!(heard(&mut session).await.unwrap(), text, "{version:?}");
        }
        session.finish().await.unwrap();
        assert_eq!(heard(&mut session).await, None);
        let answer = session.info().answer().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/plain; charset=UTF-8");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_to_send_is_get() {
    for version in BOTH {
        for sends in [Sends::Nothing, Sends::Perhaps] {
            let client = Client::with(reply("hi"), version, Framing::Raw);
            let start = Instant::now();
            let mut session = ask(client.wire, version, sends).await;
            if sends == Sends::Perhaps {
                session.finish().await.unwrap();
            }
            assert_eq!(heard(&mut session).await.unwrap(), "hi");
            assert_eq!(heard(&mut session).await, None);
            assert_eq!(start.elapsed(), Duration::ZERO, "nothing is waited for");
            drop(session);
            client.served.await.unwrap().unwrap();
            assert_eq!(*client.stage.told.lock().unwrap(), ["GET /x 200 2"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_perhaps_says_something_is_waited_for_a_quarter_of_a_second() {
    let client = Client::of(service_fn(async |mut session: Session| {
        let method = session.info().request().unwrap().method.to_string();
        session.send(method).await?;
        session.close().await
    }));
    let start = Instant::now();
    let mut session = ask(client.wire, Version::One, Sends::Perhaps).await;
    assert_eq!(heard(&mut session).await.unwrap(), "POST");
    assert_eq!(start.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn a_known_length_is_told_and_an_unknown_one_is_chunked() {
    for (sends, said) in [
        (Sends::Something(Some(2)), "content-length: 2\r\n\r\nhi"),
        (
            Sends::Something(None),
            "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
    ] {
        let (near, mut far) = duplex(1000);
        let mut session = ask(near, Version::One, sends).await;
        session.send("hi").await.unwrap();
        session.finish().await.unwrap();
        let mut request = vec![0; 1000];
        let mut length = 0;
        while !request[..length].ends_with(said.as_bytes()) {
            let read = timeout(HOUR, far.read(&mut request[length..])).await;
            length += read.expect("no end of the request").unwrap();
        }
        let request = std::str::from_utf8(&request[..length]).unwrap();
        assert!(
            request.starts_with("POST /x HTTP/1.1\r\nhost: localhost\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nx: y\r\n"), "{request}");
    }
}

/// What the session of a GET hears when the server says just this and closes.
async fn answered(text: &str) -> Result<String> {
    let (near, mut far) = duplex(1000);
    let mut session = ask(near, Version::One, Sends::Nothing).await;
    // SSH and the like speak first.
    let first = !text.is_empty() && !text.starts_with("HTTP");
    if first {
        far.write_all(text.as_bytes()).await.unwrap();
    }
    let mut request = [0; 1000];
    let _ = far.read(&mut request).await.unwrap();
    if !first {
        far.write_all(text.as_bytes()).await.unwrap();
    }
    drop(far);
    let mut all = String::new();
    while let Some(message) = timeout(HOUR, session.recv()).await.unwrap()? {
        all.push_str(message.text()?);
    }
    Ok(all)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    for (text, whole) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            true,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nhi", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Le", false),
        ("", false),
    ] {
        match answered(text).await {
            Ok(body) => assert!(whole && body == "hi", "{text:?}: {body}"),
            Err(error) => assert!(!whole && error.is_reset(), "{text:?}: {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_http_is_told_as_that() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let error = answered(text).await.unwrap_err();
        let Error::Io { source, .. } = &error else {
            panic!("{text:?}: {error:?}");
        };
        assert_eq!(
            source.kind(),
            std::io::ErrorKind::InvalidData,
            "{text:?}: {error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_before_it_has_read_all_is_heard() {
    let client = Client::of(service_fn(async |mut session: Session| {
        session.send("enough").await?;
        session.finish().await
    }));
    let mut session = ask(client.wire, Version::One, Sends::Something(None)).await;
    session.send("a").await.unwrap();
    assert_eq!(heard(&mut session).await.unwrap(), "enough");
    assert_eq!(heard(&mut session).await, None);
    let error = loop {
        if let Err(error) = timeout(HOUR, session.send(vec![b'x'; 10_000]))
            .await
            .unwrap()
        {
            break error;
        }
    };
    let words = "it has answered and does not take the rest of the request";
    assert!(error.to_string().contains(words), "{error}");
    session.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_dropped_leaves_half_a_request() {
    for version in BOTH {
        let (tell, told) = std::sync::mpsc::channel();
        let client = Client::with(
            service_fn(move |mut session: Session| {
                let tell = tell.clone();
                async move {
                    while session
                        .recv()
                        .await
                        .inspect_err(|_| tell.send(()).unwrap())?
                        .is_some()
                    {}
                    Ok(())
                }
            }),
            version,
            Framing::Raw,
        );
        let mut session = ask(client.wire, version, Sends::Something(None)).await;
        session.send("half").await.unwrap();
        // The other end has it.
        sleep(Duration::from_millis(10)).await;
        drop(session);
        client.stage.tracker.close();
        client.stage.tracker.wait().await;
        assert_eq!(told.try_recv(), Ok(()), "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_directions_move_by_themselves() {
    for version in BOTH {
        let client = Client::with(Echo, version, Framing::Raw);
        let session = ask(client.wire, version, Sends::Perhaps).await;
        let (mut receiver, mut sender) = session.split();
        let tracker = TaskTracker::new();
        let listening = crate::task::spawn(&tracker, async move {
            let mut length = 0;
            while let Some(message) = receiver.recv().await.unwrap() {
                length += message.data.len();
            }
            length
        });
        for _ in 0..100 {
            sender.send(vec![b'x'; 10_000]).await.unwrap();
        }
        sender.finish().await.unwrap();
        assert_eq!(timeout(HOUR, listening).await.unwrap().unwrap(), 1_000_000);
    }
}
