//! Peers that break off, stall, or speak something else.

use super::*;
use crate::session::Info;

/// A stream that is cut after so many bytes went out, or that keeps still from there on.
struct Limited<T> {
    io: T,
    left: usize,
    then: Then,
    sent: Arc<std::sync::atomic::AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Close,
    Stall,
}

impl<T: AsyncRead + Unpin> AsyncRead for Limited<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Limited<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.left == 0 {
            return match self.then {
                Then::Close => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
                // Nobody wakes it any more.
                Then::Stall => Poll::Pending,
            };
        }
        let n = data.len().min(self.left);
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, &data[..n]))?;
        self.left -= written;
        self.sent
            .fetch_add(written, std::sync::atomic::Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What a server says of a client that goes wrong after `left` bytes, and how many it sent.
async fn broken_off(server: &TlsServer, left: usize, then: Then) -> (Agreed, usize) {
    let (near, far) = duplex(1 << 16);
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let limited = Limited {
        io: far,
        left,
        then,
        sent: sent.clone(),
    };
    let anyone = client(TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    });
    let identity = identity();
    let serving = server.accept(ByteStream::new(near), true, &identity);
    // A client that is cut gives up, and closes; one that stalls stays, and so does one that is done.
    let connecting = anyone.connect(ByteStream::new(limited), "localhost", &[]);
    let served = match then {
        Then::Close => tokio::join!(serving, connecting).0,
        Then::Stall => {
            let staying = async {
                let _connected = connecting.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                served = serving => served,
                () = staying => unreachable!(),
            }
        }
    };
    (served, sent.load(std::sync::atomic::Ordering::Relaxed))
}

/// How much a client says in a whole handshake, and how much of it is its first flight.
async fn whole(server: &TlsServer) -> usize {
    let (served, sent) = broken_off(server, usize::MAX, Then::Close).await;
    assert!(served.is_ok());
    sent
}

#[tokio::test]
async fn a_client_that_leaves_at_any_byte_ends_the_handshake_at_once() {
    let server = TlsServer::default();
    let whole = whole(&server).await;
    assert!(whole > 1000, "{whole}");
    // Every byte of the records' beginnings and of all that stands at the end; a sample of the rest.
    let places = (0..whole).filter(|n| *n < 80 || *n > whole - 100 || n % 41 == 0);
    for n in places {
        let (served, _) = broken_off(&server, n, Then::Close).await;
        let error = served
            .err()
            .unwrap_or_else(|| panic!("{n} of {whole} bytes are enough"));
        assert!(matches!(error, TlsError::Closed), "{n} of {whole}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_at_any_stage_has_ten_seconds() {
    let server = TlsServer::default();
    let whole = whole(&server).await;
    for n in [0, 1, 5, 6, 50, whole / 2, whole - 74, whole - 60, whole - 1] {
        let start = tokio::time::Instant::now();
        let (served, _) = broken_off(&server, n, Then::Stall).await;
        let error = served
            .err()
            .unwrap_or_else(|| panic!("{n} of {whole} bytes are enough"));
        assert!(
            matches!(error, TlsError::TimedOut(_)),
            "{n} of {whole}: {error}"
        );
        assert_eq!(start.elapsed().as_secs(), 10, "{n} of {whole}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_has_ten_seconds_too() {
    let (_near, far) = duplex(1 << 16);
    let anyone = client(TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    });
    let start = tokio::time::Instant::now();
    let error = anyone.connect(ByteStream::new(far), "localhost", &[]).await;
    let told = error.err().unwrap().to_string();
    assert_eq!(told, "no TLS handshake within 10s");
    assert_eq!(start.elapsed().as_secs(), 10);
}

/// A stream that gives one byte at a time.
struct Dripping(DuplexStream);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        out.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &data[..1])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_handshake_byte_by_byte_is_a_handshake() {
    let server = TlsServer::default();
    let (near, far) = duplex(1 << 16);
    let (trusting, identity) = (trusting(&server), identity());
    let (served, connected) = tokio::join!(
        server.accept(ByteStream::new(Dripping(near)), true, &identity),
        trusting.connect(ByteStream::new(Dripping(far)), "localhost", &["h2"])
    );
    assert_eq!(served.unwrap().1.alpn.as_deref(), Some("h2"));
    assert!(connected.is_ok());
}

/// What a server says, and answers, when a client says `bytes` and no more.
async fn says(bytes: &[u8]) -> (TlsError, Vec<u8>) {
    let (near, mut far) = duplex(1 << 17);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    // As a port has it: with somebody who counts.
    let mut near = ByteStream::new(near);
    near.tally = Some(Arc::new(Info::new(identity())));
    let server = TlsServer::default();
    let served = server.accept(near, true, &identity()).await;
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    (served.err().unwrap(), answer)
}

/// An alert record: fatal, and its number (RFC 8446, section 6).
fn alert(number: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, number]
}

#[tokio::test]
async fn strange_first_words_get_an_alert_and_a_reason() {
    const DECODE_ERROR: u8 = 50;
    const UNEXPECTED: u8 = 10;
    let oversized = [b"\x16\x03\x01\x48\x01\x01".to_vec(), vec![0; 20_000]].concat();
    for (bytes, number, reason) in [
        (
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            DECODE_ERROR,
            "it does not speak TLS",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            DECODE_ERROR,
            "it does not speak TLS",
        ),
        (&oversized, DECODE_ERROR, "it does not speak TLS"),
        // A hello of no length, and one whose content is none.
        (
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
            DECODE_ERROR,
            "it broke the rules of TLS: missing data (protocol version)",
        ),
        (
            b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",
            DECODE_ERROR,
            "it broke the rules of TLS: missing data (random)",
        ),
        // A message that the server should have said.
        (
            b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00",
            UNEXPECTED,
            "it broke the rules of TLS: server hello done came out of turn",
        ),
        // Application data before anything else.
        (
            b"\x17\x03\x03\x00\x05hello",
            UNEXPECTED,
            "it broke the rules of TLS: application data came out of turn",
        ),
    ] {
        let (error, answer) = says(bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(12)]).into_owned();
        assert_eq!(error.to_string(), reason, "{shown:?}");
        assert_eq!(answer, alert(number), "{shown:?}");
    }
}

#[tokio::test]
async fn a_client_that_says_goodbye_first_is_told_so() {
    // close_notify, and a fatal handshake_failure, in place of a hello.
    for bytes in [
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ] {
        let (error, answer) = says(bytes).await;
        let told = error.to_string();
        assert_eq!(told, "it broke the rules of TLS: an alert came out of turn");
        assert_eq!(answer, alert(10), "unexpected_message");
    }
}

/// What a client says of a server that answers like this.
async fn answered(answer: &[u8]) -> String {
    let (mut near, far) = duplex(1 << 17);
    let anyone = client(TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    });
    let answering = async {
        near.read_u8().await.unwrap();
        near.write_all(answer).await.unwrap();
        near.shutdown().await.unwrap();
        // Its end may come at any time.
        let _ = near.read_to_end(&mut Vec::new()).await;
    };
    let (connected, ()) = tokio::join!(
        anyone.connect(ByteStream::new(far), "localhost", &[]),
        answering
    );
    connected.err().unwrap().to_string()
}

#[tokio::test]
async fn servers_that_speak_something_else_are_told_apart() {
    let not_tls = "it does not speak TLS";
    for (answer, reason) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], not_tls),
        (b"220 mail.example ESMTP\r\n", not_tls),
        (b"SSH-2.0-OpenSSH_9.2\r\n", not_tls),
        (b"", "it closed the connection during the TLS handshake"),
        (
            b"\x15\x03\x03\x00\x02\x02\x28",
            "it can agree on nothing that we offer (alert handshake_failure)",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x46",
            "it shares no version of TLS with us (alert protocol_version)",
        ),
    ] {
        assert_eq!(answered(answer).await, reason);
    }
}

#[tokio::test]
async fn an_echo_does_not_speak_tls() {
    let (mut near, far) = duplex(1 << 17);
    let anyone = client(TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    });
    let echoing = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = near.read(&mut bytes).await {
            if near.write_all(&bytes[..n]).await.is_err() {
                break;
            }
        }
    };
    let connecting = async {
        let connected = anyone.connect(ByteStream::new(far), "localhost", &[]).await;
        connected.err().unwrap().to_string()
    };
    let told = tokio::select! {
        told = connecting => told,
        () = echoing => unreachable!(),
    };
    assert_eq!(told, "it does not speak TLS");
}

#[tokio::test]
async fn what_comes_broken_later_ends_the_stream_in_plain_words() {
    let server = TlsServer::default();
    // A pipe with somebody in between, who changes a byte once the handshake is done.
    let (near, mut left) = duplex(1 << 16);
    let (mut right, far) = duplex(1 << 16);
    let tamper = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let between = {
        let tamper = tamper.clone();
        async move {
            let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            loop {
                tokio::select! {
                    Ok(n @ 1..) = left.read(&mut a) => right.write_all(&a[..n]).await.unwrap(),
                    Ok(n @ 1..) = right.read(&mut b) => {
                        if tamper.load(std::sync::atomic::Ordering::Relaxed) {
                            b[n - 1] ^= 1;
                        }
                        left.write_all(&b[..n]).await.unwrap();
                    }
                    else => return,
                }
            }
        }
    };
    let talking = async {
        let (trusting, identity) = (trusting(&server), identity());
        let (served, connected) = tokio::join!(
            server.accept(ByteStream::new(near), true, &identity),
            trusting.connect(ByteStream::new(far), "localhost", &[])
        );
        let ((mut near, _), (mut far, _)) = (served.unwrap(), connected.unwrap());
        tamper.store(true, std::sync::atomic::Ordering::Relaxed);
        far.write_all(b"hello").await.unwrap();
        far.flush().await.unwrap();
        let told = near.read(&mut [0; 5]).await.unwrap_err().to_string();
        assert_eq!(
            told,
            "it broke the rules of TLS: a record cannot be decrypted"
        );
        let told = far.read(&mut [0; 5]).await.unwrap_err().to_string();
        assert_eq!(told, "it ended TLS (alert bad_record_mac)");
    };
    tokio::select! {
        () = talking => {}
        () = between => panic!("somebody closed"),
    }
}
